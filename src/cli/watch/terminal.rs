//! The terminal of `watch`: keys come from it, frames go to it, and it is left as it was found, whatever happens.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use rustix::process::{Signal, getpid, kill_process};

use crate::cli::follower::{Follower, Taken};
use crate::report::Report;
use crate::serve::Schedule;
use crate::watch::{Key, Screen, Wish};

/// How long a key or a look may wait to be seen.
const ATTENTION: Duration = Duration::from_millis(50);

/// What is looked at.
pub(super) enum Looking {
    /// This host.
    Here(Follower),
    /// Recordings, in this order; at least one.
    Recordings(Vec<PathBuf>),
}

pub(super) fn run(looking: Looking, interval: Duration, length: Option<Duration>) -> Result<()> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        bail!("a full screen needs a terminal: use --format lines or json");
    }
    let (source, title) = match looking {
        Looking::Here(follower) => (
            Source::live(follower, interval)?,
            format!("every {interval:?}"),
        ),
        Looking::Recordings(files) => {
            let title = format!("{} recordings", files.len());
            (Source::Recordings { files, at: 0 }, title)
        }
    };
    // It also puts a hook before that of panics, so that those leave the terminal as it was.
    let terminal = ratatui::try_init().context("preparing the terminal")?;
    let mut driver = Driver {
        terminal,
        screen: Screen::new(title),
        source,
        began: Instant::now(),
        length,
    };
    let outcome = driver.drive();
    // Its first failure is the one to report.
    let restored = ratatui::try_restore();
    outcome.and_then(|()| restored.context("restoring the terminal"))
}

/// Where looks come from.
enum Source {
    Live(Looks),
    Recordings { files: Vec<PathBuf>, at: usize },
}

/// The thread that looks.
struct Looks {
    taken: Receiver<(Duration, Taken, Option<io::Result<PathBuf>>)>,
    record: Sender<PathBuf>,
}

impl Source {
    fn live(mut follower: Follower, interval: Duration) -> Result<Self> {
        let mut schedule = Schedule::new(interval);
        let (sender, taken) = channel();
        let (record, wanted) = channel::<PathBuf>();
        // It ends with the process, or when nobody takes what it sees.
        let looks = move || {
            let began = Instant::now();
            loop {
                let at = began.elapsed();
                let (look, written) = match wanted.try_recv() {
                    Ok(file) => {
                        let (look, written) = follower.look_and_record(&file);
                        (look, Some(written.map(|()| file)))
                    }
                    Err(_) => (follower.look(), None),
                };
                if sender.send((at, look, written)).is_err() {
                    return;
                }
                std::thread::sleep(schedule.wait(began.elapsed()));
            }
        };
        let thread = std::thread::Builder::new().name("looks".to_owned());
        thread
            .spawn(looks)
            .context("starting the thread that looks")?;
        Ok(Self::Live(Looks { taken, record }))
    }
}

struct Driver {
    terminal: DefaultTerminal,
    screen: Screen,
    source: Source,
    began: Instant,
    length: Option<Duration>,
}

impl Driver {
    fn drive(&mut self) -> Result<()> {
        if let Source::Recordings { .. } = self.source {
            self.play(0)?;
        }
        loop {
            self.take_looks();
            let screen = &self.screen;
            self.terminal
                .draw(|frame| screen.draw(frame))
                .context("drawing")?;
            if self
                .length
                .is_some_and(|length| self.began.elapsed() >= length)
            {
                return Ok(());
            }
            if !event::poll(ATTENTION).context("waiting for a key")? {
                continue;
            }
            // A change of size is seen when the next frame is drawn.
            let Event::Key(pressed) = event::read().context("reading a key")? else {
                continue;
            };
            if pressed.kind == KeyEventKind::Release {
                continue;
            }
            match pressed.code {
                KeyCode::Char('c') if is_control(&pressed) => return Ok(()),
                KeyCode::Char('z') if is_control(&pressed) => self.suspend()?,
                code => {
                    // Escape and a letter right after it come as one key.
                    if pressed.modifiers.contains(KeyModifiers::ALT) {
                        self.screen.press(Key::Escape);
                    }
                    let wish = key(code).map_or(Wish::Draw, |key| self.screen.press(key));
                    if wish == Wish::Quit {
                        return Ok(());
                    }
                    self.grant(wish)?;
                }
            }
        }
    }

    fn take_looks(&mut self) {
        let Source::Live(looks) = &self.source else {
            return;
        };
        for (at, taken, written) in looks.taken.try_iter() {
            match taken.report {
                Ok(report) => self.screen.show(report, at),
                Err(error) => self.screen.say(format!("looking: {error}")),
            }
            match written {
                Some(Ok(file)) => self.screen.say(format!("recorded {}", file.display())),
                Some(Err(error)) => self.screen.say(format!("recording: {error}")),
                None => {}
            }
        }
    }

    fn grant(&mut self, wish: Wish) -> Result<()> {
        match (wish, &self.source) {
            (Wish::Record, Source::Live(looks)) => {
                let name = format!("closewait-{:.0}.rec", jiff::Timestamp::now());
                let file = PathBuf::from(name.replace(':', ""));
                // The thread that looks ends only with this one.
                let _ = looks.record.send(file);
                self.screen.say("recording the next look".to_owned());
                Ok(())
            }
            (Wish::Back, Source::Recordings { at, .. }) => self.play(at.saturating_sub(1)),
            (Wish::Forth, Source::Recordings { at, .. }) => self.play(at + 1),
            (Wish::Record | Wish::Back | Wish::Forth | Wish::Draw | Wish::Quit, _) => Ok(()),
        }
    }

    /// Shows a recording, with those before it as what went before.
    fn play(&mut self, wanted: usize) -> Result<()> {
        let Source::Recordings { files, at } = &mut self.source else {
            return Ok(());
        };
        let wanted = wanted.min(files.len() - 1);
        let is_next = wanted == *at + 1;
        *at = wanted;
        let first = if is_next { wanted } else { 0 };
        if !is_next {
            self.screen.forget();
        }
        for (number, file) in files.iter().enumerate().take(wanted + 1).skip(first) {
            let seconds = u32::try_from(number).unwrap_or(u32::MAX);
            self.screen
                .show(look_at(file)?, Duration::from_secs(1) * seconds);
        }
        let (number, all) = (wanted + 1, files.len());
        let file = files[wanted].display().to_string();
        self.screen.say(format!("{number} of {all}: {file}"));
        Ok(())
    }

    /// Gives the terminal back to the shell, and takes it again when the program goes on.
    fn suspend(&mut self) -> Result<()> {
        ratatui::try_restore().context("restoring the terminal")?;
        kill_process(getpid(), Signal::TSTP).context("stopping")?;
        self.terminal = ratatui::try_init().context("preparing the terminal")?;
        Ok(())
    }
}

fn look_at(file: &Path) -> Result<Report> {
    Follower::replay(file)?.recorded_look()
}

fn is_control(pressed: &KeyEvent) -> bool {
    pressed.modifiers.contains(KeyModifiers::CONTROL)
}

fn key(code: KeyCode) -> Option<Key> {
    match code {
        KeyCode::Char(character) => Some(Key::Char(character)),
        KeyCode::Up => Some(Key::Up),
        KeyCode::Down => Some(Key::Down),
        KeyCode::Left => Some(Key::Left),
        KeyCode::Right => Some(Key::Right),
        KeyCode::PageUp => Some(Key::PageUp),
        KeyCode::PageDown => Some(Key::PageDown),
        KeyCode::Enter => Some(Key::Enter),
        KeyCode::Esc => Some(Key::Escape),
        KeyCode::Backspace => Some(Key::Backspace),
        _ => None,
    }
}
