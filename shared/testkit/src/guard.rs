//! A server that ends when this process ends, however it ends.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A small shell stands between us and the server: when the pipe to it closes (we stopped it, or we are
/// gone, by whatever signal), it stops the server by its process id and removes the folder if told to.
const WATCH: &str = r#"
dir=$1; signal=$2; keep=$3; shift 3
rm -f "$dir/exit"
exec 3<&0
"$@" </dev/null 3<&- >>"$dir/log" 2>&1 &
server=$!
( cat <&3 >/dev/null; [ -f "$dir/exit" ] || kill -s "$signal" "$server" ) &
watch=$!
wait "$server"
echo $? >"$dir/exit"
wait "$watch"
[ "$keep" = keep ] || rm -rf "$dir"
"#;

/// A running server and the folder that it lives in.
pub(crate) struct Guard {
    watch: Child,
    folder: PathBuf,
}

impl Guard {
    /// Starts `program args` through `shell` (a command that runs `sh` as the right user).
    /// The server's output goes to `folder/log`; `keep` leaves the folder in place at the end.
    pub(crate) fn start(
        mut shell: Command,
        folder: &Path,
        signal: &str,
        keep: bool,
        program: &Path,
        args: &[String],
    ) -> Result<Self, String> {
        let watch = shell
            .args(["-c", WATCH, "regard-testkit"])
            .arg(folder)
            .args([signal, if keep { "keep" } else { "remove" }])
            .arg(program)
            .args(args)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C at the terminal must reach the tests only: the pipe then ends the server.
            .process_group(0)
            .spawn()
            .map_err(|e| format!("{shell:?}: {e}"))?;
        Ok(Self {
            watch,
            folder: folder.to_owned(),
        })
    }

    /// True once the server has ended by itself.
    pub(crate) fn ended(&self) -> bool {
        self.folder.join("exit").is_file()
    }

    /// The server's output, for an error message.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Stops the server and waits until it is gone.
    pub(crate) fn stop(mut self) {
        drop(self.watch.stdin.take());
        let _ = self.watch.wait();
    }
}

/// A loopback port that nobody listened on a moment ago. Another process may take it before you do: a
/// server of your own is better bound to port 0.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|l| l.local_addr())
        .map_or_else(
            |e| panic!("no free loopback port: {e}"),
            |address| address.port(),
        )
}
