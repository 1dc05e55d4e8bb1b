//! How the screen is drawn.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Paragraph, Sparkline, Wrap};

use super::rows::Row;
use super::screen::{Screen, View};
use crate::render::escape::escape;
use crate::report::{Report, Verdict};
use crate::rules::Severity;

/// Terminals with fewer lines show no sparkline.
const TALL: u16 = 12;

impl Screen {
    /// Draws everything.
    pub fn draw(&self, frame: &mut Frame) {
        let history = if frame.area().height >= TALL { 2 } else { 0 };
        let [title, numbers, sparkline, middle, last] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Length(history),
            Constraint::Min(1),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        frame.render_widget(Line::from(self.title_line()).style(reversed()), title);
        frame.render_widget(Line::from(self.numbers_line()), numbers);
        self.draw_sparkline(frame, sparkline);
        match self.view {
            View::List => self.draw_list(frame, middle),
            View::Details(_) | View::Explain(_) | View::Help => {
                let text = self.lines().into_iter().map(Line::from).collect::<Text>();
                let paragraph = Paragraph::new(text).wrap(Wrap { trim: false });
                frame.render_widget(paragraph.scroll((self.scroll, 0)), middle);
            }
        }
        frame.render_widget(Line::from(self.last_line()).style(reversed()), last);
    }

    fn title_line(&self) -> String {
        let title = escape(&self.title);
        let Some(report) = &self.report else {
            return format!("closewait-doctor  {title}  looking");
        };
        let paused = if self.paused { "  PAUSED" } else { "" };
        let (host, verdict) = (escape(&report.host.hostname), verdict_word(report.verdict));
        format!(
            "closewait-doctor  {host}  {verdict}  {}  {title}{paused}",
            report.taken_at
        )
    }

    fn numbers_line(&self) -> String {
        let Some(report) = &self.report else {
            return String::new();
        };
        let totals = report.close_wait;
        let refused = self.history.overflows_per_sec();
        let refused = refused.map_or(String::new(), |rate| format!("   refused {rate:.1}/s"));
        format!(
            "CLOSE_WAIT {} ({} in accept queues, {} in processes, {} unattributed)   {} listeners{refused}{}",
            totals.total(),
            totals.accept_queue,
            totals.owned,
            totals.unattributed,
            report.listeners.len(),
            blind(report)
        )
    }

    fn draw_sparkline(&self, frame: &mut Frame, area: Rect) {
        let numbers = self.history.looks().rev();
        let mut latest: Vec<u64> = numbers
            .take(area.width.into())
            .map(|(_, numbers)| u64::try_from(numbers.close_wait).unwrap_or(u64::MAX))
            .collect();
        latest.reverse();
        frame.render_widget(Sparkline::default().data(latest), area);
    }

    fn draw_list(&self, frame: &mut Frame, area: Rect) {
        let rows = self.rows();
        let selected = self.position(&rows);
        let height = usize::from(area.height);
        let first = (selected + 1).saturating_sub(height);
        let lines = rows.iter().enumerate().skip(first).take(height);
        let lines = lines.map(|(index, row)| {
            let style = style(row);
            Line::from(row.text.as_str()).style(if index == selected {
                style.add_modifier(Modifier::REVERSED)
            } else {
                style
            })
        });
        frame.render_widget(Paragraph::new(lines.collect::<Text>()), area);
    }

    fn last_line(&self) -> String {
        if let Some(message) = &self.message {
            return escape(message).into_owned();
        }
        if self.typing || !self.filter.is_empty() {
            let cursor = if self.typing { "_" } else { "" };
            return format!("/{}{cursor}", escape(&self.filter));
        }
        format!(
            "q end  ? help  Enter details  e explain  / filter  s sort ({})  p pause  r record",
            self.sort.word()
        )
    }
}

fn blind(report: &Report) -> String {
    let spots = report.blind_spots.iter();
    match spots.filter(|spot| spot.hides_findings).count() {
        0 => String::new(),
        number => format!("   {number} blind spots: see scan"),
    }
}

fn reversed() -> Style {
    Style::default().add_modifier(Modifier::REVERSED)
}

fn style(row: &Row) -> Style {
    match row.severity {
        Some(Severity::Critical) => Style::default().fg(Color::Red),
        Some(Severity::Warning) => Style::default().fg(Color::Yellow),
        Some(Severity::Info) => Style::default(),
        None => Style::default().add_modifier(Modifier::DIM),
    }
}

fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Healthy => "HEALTHY",
        Verdict::Degraded => "DEGRADED",
        Verdict::Critical => "CRITICAL",
        Verdict::Unknown => "UNKNOWN",
    }
}
