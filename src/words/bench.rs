//! Words of the load test: progress, tables, reports, and what went wrong.

use super::catalogue;

catalogue! {
    /// What `bench` says.
    BenchWords {
        NoAddress { address: String, why: String } => "{address} cannot be listened on: {why}", "无法监听 {address}：{why}";
        HintNoAddress => "name another with `--listen ADDR:PORT`; port 0 takes any free one",
            "用 `--listen 地址:端口` 指定其他地址；端口 0 表示任意空闲端口";
        Listening { address: String } => "listening on {address}", "正在监听 {address}";
        Measuring { test: String, connections: usize, bytes: usize, target: String } =>
            "{test} of {target}, {connections} connections, {bytes} bytes", "{test}：{target}，{connections} 个连接，{bytes} 字节";
        Unreachable { target: String, why: String } => "{target} does not answer: {why}", "{target} 没有响应：{why}";
        HintUnreachable => "start a target with `portwright bench serve` and name the address that leads to it",
            "用 `portwright bench serve` 启动一个目标，并指定通向它的地址";
    }
}
