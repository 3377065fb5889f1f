//! `gateway migrate …`: the tables of a `PostgreSQL` store. `serve` brings them up to date itself; this is for those who
//! want it done apart from a start, or want to look first. Never changes what it cannot finish.

use clap::Subcommand;
use serde_json::{Value, json};
use sms_gateway::config::Machine;
use sms_gateway::wiring;
use sms_store::postgres::migrate::{self, Migration};

use super::configuration::{Files, faulty};
use super::failure::{Exit, Failure};
use super::output::Output;

/// `gateway migrate …`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say which tables the store has, and which this version needs.
    Status(Files),
    /// Take the missing steps.
    Up(Files),
}

impl Command {
    pub(crate) async fn run(self, output: Output) -> Result<(), Failure> {
        let (Self::Status(files) | Self::Up(files)) = &self;
        let loaded = wiring::load(&files.sources(&Machine)).map_err(|report| faulty(&report))?;
        let keeping = wiring::keeping(&loaded);
        let Some(url) = keeping.postgres() else {
            let text = "SQLite: nothing to do, `gateway serve` brings the file up to date when it opens it";
            return output.result(|| text.to_owned(), || json!({ "store": "sqlite" }));
        };
        let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::Failed, error.to_string());
        match self {
            Self::Status(_) => status(migrate::status(url).await.map_err(|error| failed(&error))?, output),
            Self::Up(_) => {
                let before = migrate::up(url).await.map_err(|error| failed(&error))?;
                let after = Migration { found: before.found.max(before.known), ..before };
                output.result(|| went(before, after), || as_json(after))
            }
        }
    }
}

fn status(migration: Migration, output: Output) -> Result<(), Failure> {
    output.result(|| stands(migration), || as_json(migration))?;
    if migration.is_usable() { Ok(()) } else { Err(Failure::told(Exit::Failed)) }
}

fn stands(Migration { found, known }: Migration) -> String {
    match () {
        () if found == known => format!("PostgreSQL: schema {found}, as this version needs it"),
        () if found == 0 => format!("PostgreSQL: no tables yet, this version needs schema {known}: gateway migrate up"),
        () if found < known => {
            format!("PostgreSQL: schema {found}, this version needs {known}: gateway migrate up")
        }
        () if found == known + 1 => format!(
            "PostgreSQL: schema {found}, one newer than this version's {known}: it runs, until the next step is taken"
        ),
        () => format!("PostgreSQL: schema {found}, too new for this version, which knows {known}: start a newer one"),
    }
}

fn went(before: Migration, after: Migration) -> String {
    if before.found >= after.found {
        return stands(before);
    }
    format!("PostgreSQL: from schema {} to {}", before.found, after.found)
}

fn as_json(migration: Migration) -> Value {
    let Migration { found, known } = migration;
    json!({ "store": "postgresql", "found": found, "known": known, "usable": migration.is_usable() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_says_what_to_do() {
        for (found, word) in
            [(0, "no tables"), (1, "migrate up"), (2, "as this version"), (3, "one newer"), (4, "too new")]
        {
            let told = stands(Migration { found, known: 2 });
            assert!(told.contains(word), "{told}");
        }
        let (before, after) = (Migration { found: 0, known: 2 }, Migration { found: 2, known: 2 });
        assert_eq!(went(before, after), "PostgreSQL: from schema 0 to 2");
        assert_eq!(went(after, after), stands(after));
    }
}
