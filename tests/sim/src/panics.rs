//! Panics of the gateway: a task that panics ends silently, so the hook writes it down. Those of scripted providers are
//! expected and told to nobody.

use std::cell::RefCell;
use std::panic::{PanicHookInfo, set_hook, take_hook};
use std::sync::Once;

use crate::upstream::PANIC;

thread_local! {
    /// Of the simulation that runs on this thread, if one does.
    static SEEN: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Begins to watch this thread.
pub(crate) fn watch() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |info| {
            let expected = info.payload().downcast_ref::<&str>().is_some_and(|what| *what == PANIC);
            let watched = SEEN.with_borrow_mut(|seen| {
                let Some(seen) = seen.as_mut() else { return false };
                if !expected {
                    seen.push(words(info));
                }
                true
            });
            if !watched {
                usual(info);
            }
        }));
    });
    SEEN.set(Some(Vec::new()));
}

/// Ends the watch; what panicked meanwhile.
pub(crate) fn seen() -> Vec<String> {
    SEEN.take().unwrap_or_default()
}

fn words(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
    info.location().map_or_else(|| text.clone(), |place| format!("{place}: {text}"))
}
