//! How the window is drawn on a Linux computer without a graphics card.
//!
//! WebKitGTK draws by OpenGL there too, with Mesa's software renderer, which takes 50 MiB of this process and gives a third
//! of the frames of WebKit's own way to draw by the processor. That way is chosen by variables of the environment alone,
//! which GTK and WebKit read as they start; each keeps one of three from loading the renderer, so that it takes all of them.
//! Programs that are started from here inherit them, and have as little use for that renderer.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Where the kernel shows what renders.
const DEVICES: &str = "/dev";
/// What each variable is set to.
const SWITCHES: [(&str, &str); 3] = [
    // GTK looks for GLX as soon as it has a display.
    ("GDK_GL", "disable"),
    // Pages reach the window by shared memory.
    ("WEBKIT_DISABLE_DMABUF_RENDERER", "1"),
    // WebKit would open EGL's display to find a device to render with.
    ("WEBKIT_WEB_RENDER_DEVICE_FILE", "/dev/null"),
];

/// Begins anew with the variables set, unless there is a graphics card, or somebody has set one of them.
pub(crate) fn without_a_card() {
    let chosen = SWITCHES.iter().any(|(name, _)| std::env::var_os(name).is_some());
    if chosen || has_card(Path::new(DEVICES)) {
        return;
    }
    let Ok(program) = std::env::current_exe() else {
        return;
    };
    let mut arguments = std::env::args_os();
    let mut again = Command::new(program);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    // It comes back only where it failed; then it goes on as it is.
    let _ = again.args(arguments).envs(SWITCHES).exec();
}

/// Whether something can render: a render node of the kernel's, or NVIDIA's own driver, which may do without.
fn has_card(devices: &Path) -> bool {
    let nodes = std::fs::read_dir(devices.join("dri")).into_iter().flatten();
    let renders = |name: &str| name.starts_with("renderD");
    devices.join("nvidia0").exists()
        || nodes
            .flatten()
            .any(|node| node.file_name().to_str().is_some_and(renders))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_what_renders_and_not_what_only_shows() {
        let devices = tempfile::tempdir().unwrap();
        let has = || has_card(devices.path());
        assert!(!has(), "no devices of this kind at all");
        std::fs::create_dir(devices.path().join("dri")).unwrap();
        std::fs::write(devices.path().join("dri/card0"), "").unwrap();
        assert!(!has(), "a screen alone");
        std::fs::write(devices.path().join("dri/renderD128"), "").unwrap();
        assert!(has());
        std::fs::remove_dir_all(devices.path().join("dri")).unwrap();
        std::fs::write(devices.path().join("nvidia0"), "").unwrap();
        assert!(has());
    }
}
