//! Starts that must fail.

use std::process::Command;

use e2e::{Builder, Gateway, OPS_TOKEN, binary, free_address};

/// What the tests' gateways have in `$GATEWAY_STORE_KEY`.
pub(crate) const STORE_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// A process that ended by itself.
pub(crate) struct Refused {
    pub(crate) code: Option<i32>,
    pub(crate) told: String,
}

impl Refused {
    /// Panics unless it failed as a command fails, with these words.
    #[track_caller]
    pub(crate) fn says(self, words: &[&str]) -> String {
        let Self { code, told } = self;
        assert_eq!(code, Some(1), "{told}");
        for word in words {
            assert!(told.contains(word), "no word of `{word}`: {told}");
        }
        assert!(!told.contains("panic"), "{told}");
        told
    }
}

/// Starts a process with the gateway's configuration and store on ports of its own.
pub(crate) fn refused(gateway: &Gateway) -> Refused {
    refused_with(gateway, Some(STORE_KEY))
}

/// The same with another store key, or none.
pub(crate) fn refused_with(gateway: &Gateway, store_key: Option<&str>) -> Refused {
    let (listen, ops) = (free_address().to_string(), free_address().to_string());
    let mut command = Command::new("timeout");
    command.args(["20", binary().to_str().unwrap(), "serve", "--config", gateway.config_path().to_str().unwrap()]);
    command.current_dir(gateway.dir()).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").envs([
        ("E2E_CALLBACK_SECRET", "callback-secret-of-the-tests"),
        ("E2E_MITTO_KEY", Builder::MITTO_KEY),
        ("E2E_OPS_TOKEN", OPS_TOKEN),
        ("GATEWAY__SERVER__LISTEN", &listen),
        ("GATEWAY__SERVER__OPS", &ops),
    ]);
    command.envs(store_key.map(|key| ("GATEWAY_STORE_KEY", key)));
    let output = command.output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    Refused { code: output.status.code(), told: String::from_utf8_lossy(&told).into_owned() }
}
