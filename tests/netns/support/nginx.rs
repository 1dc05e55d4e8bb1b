//! nginx, with one worker, in the foreground, touching nothing outside of a temporary folder.

use std::process::Command;

use tempfile::TempDir;

use super::{PORT, Program, wait_until};

pub(crate) struct Nginx {
    pub(crate) program: Program,
    _folder: TempDir,
}

impl Nginx {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        let configuration = folder.path().join("nginx.conf");
        std::fs::write(&configuration, configure(&folder)).expect("the folder is ours");
        let mut nginx = Command::new("nginx");
        let program = Program::start(nginx.args(["-e", "stderr", "-c"]).arg(configuration));
        wait_until("nginx has its worker", || program.children().len() == 1);
        wait_until("nginx listens", || !super::queues().is_empty());
        Self {
            program,
            _folder: folder,
        }
    }

    pub(crate) fn worker(&self) -> u32 {
        self.program.children()[0]
    }
}

fn configure(folder: &TempDir) -> String {
    let folder = folder.path().display();
    format!(
        "daemon off; user root; worker_processes 1; pid {folder}/pid; error_log stderr;
        events {{ worker_connections 256; }}
        http {{
            access_log off;
            client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
            fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
            server {{ listen 127.0.0.1:{PORT}; return 200 'hello'; }}
        }}"
    )
}
