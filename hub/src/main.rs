//! The `yingxue` command.

fn main() -> std::process::ExitCode {
    yingxue_hub::cli::main()
}
