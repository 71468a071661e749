//! Handling SIGINT, SIGTERM and SIGHUP.

/// Calls `end` once when this program is asked to end: by Ctrl-C, a service manager or a closed terminal.
pub fn on_signal(end: impl FnOnce() + Send + 'static) {
    std::thread::spawn(move || {
        // Without a runtime for it, signals keep their default action.
        if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() {
            runtime.block_on(signal());
            end();
        }
    });
}

async fn signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (term, hang) = (signal(SignalKind::terminate()), signal(SignalKind::hangup()));
        if let (Ok(mut term), Ok(mut hang)) = (term, hang) {
            tokio::select! { _ = tokio::signal::ctrl_c() => {}, _ = term.recv() => {}, _ = hang.recv() => {} }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
