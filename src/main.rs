//! Arguments to the library, and its exit code; nothing else.

use std::process::ExitCode;

use waybill::cli::verb::Places;
use waybill::cli::{self, Invocation};

fn main() -> ExitCode {
    match cli::parse() {
        Invocation::Serve(options) => waybill::app::run(&options),
        Invocation::Verb { verb, data, commands } => {
            let status = cli::verb::run(&verb, Places { data: &data, commands: commands.as_deref() });
            ExitCode::from(u8::try_from(status).unwrap_or(u8::MAX))
        }
    }
}
