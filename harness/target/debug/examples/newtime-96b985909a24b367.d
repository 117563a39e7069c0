/tmp/wt-merge/harness/target/debug/examples/newtime-96b985909a24b367.d: examples/newtime.rs Cargo.toml

/tmp/wt-merge/harness/target/debug/examples/libnewtime-96b985909a24b367.rmeta: examples/newtime.rs Cargo.toml

examples/newtime.rs:
Cargo.toml:

# env-dep:CLIPPY_ARGS=
# env-dep:CLIPPY_CONF_DIR
