//! Words of the load test: progress, tables, reports, and what went wrong.

use super::catalogue;

catalogue! {
    /// What `bench` says.
    BenchWords {
        NoAddress { address: String, why: String } => "{address} cannot be listened on: {why}", "无法监听 {address}：{why}";
        HintNoAddress => "name another with `--listen ADDR:PORT`; port 0 takes any free one",
            "用 `--listen 地址:端口` 指定其他地址；端口 0 表示任意空闲端口";
        Listening { address: String } => "listening on {address}", "正在监听 {address}";

        Unreachable { target: String, why: String } => "{target} does not answer: {why}", "{target} 没有响应：{why}";
        HintUnreachable => "start a target with `portwright bench serve` and name the address that leads to it",
            "用 `portwright bench serve` 启动一个目标，并指定通向它的地址";
        Stranger { target: String } => "something answers at {target}, but it is not `portwright bench serve`",
            "{target} 有响应，但不是 `portwright bench serve`";
        HintStranger => "start `portwright bench serve` behind it; `--echo` tests a plain echo server, `--no-data` any service",
            "在其后启动 `portwright bench serve`；`--echo` 可测试普通回显服务器，`--no-data` 可测试任意服务";
        OnlyEcho { target: String } => "{target} is a plain echo server", "{target} 是普通的回显服务器";
        HintOnlyEcho => "add `--echo` to run the tests that it can answer", "加上 `--echo`，只运行它能应答的测试";
        NoEcho { target: String } => "{target} does not send back what it gets", "{target} 没有把收到的内容原样返回";
        HintNoEcho => "`--no-data` tests a service that does not echo", "`--no-data` 可测试不回显的服务";
        NothingToRun => "none of these tests works with such a target", "这些测试都不适用于这样的目标";
        HintNothingToRun => "leave out `--test` to run all that do", "省略 `--test`，运行所有适用的测试";
        ReportName { file: String } => "{file} does not say what the report is to be", "无法从 {file} 看出报告的格式";
        HintReportName => "end the name in .html, .svg or .json", "文件名应以 .html、.svg 或 .json 结尾";
        ReportWritten { file: String } => "report: {file}", "报告：{file}";

        Measuring { done: usize, all: usize, test: String, connections: usize, size: String, target: String } =>
            "{done}/{all} {test}, connections: {connections}, {size}, {target}", "{done}/{all} {test}，连接数 {connections}，{size}，{target}";
        Broken => "bytes were changed or lost", "有字节被改动或丢失";
        Failed => "operations failed", "有操作失败";
        Failures { test: String, target: String, count: u64, what: Box<super::Message> } =>
            "{test} of {target}: {what}: {count}", "{test}（{target}）：{what}：{count}";
        Unconnected => "connections that were not made", "未能建立的连接";
        Closed => "connections that were closed before their time", "提前关闭的连接";
        TimedOut => "no answer in time", "未及时应答";
        Damaged => "bytes that are not what was sent", "收到的字节与发送的不同";
        Lost => "bytes that were sent and did not arrive", "发送后未到达的字节";

        TestColumn => "TEST", "测试";
        ConnectionsColumn => "CONNS", "连接数";
        SizeColumn => "SIZE", "大小";
        RateColumn => "RATE", "速率";
        OperationsColumn => "OPS/S", "次/秒";
        P50Column => "P50", "P50";
        P99Column => "P99", "P99";
        P999Column => "P99.9", "P99.9";
        MaxColumn => "MAX", "最大";
        ErrorsColumn => "ERRORS", "错误";
        DirectColumn => "DIRECT", "直连";
        RatioColumn => "RATIO", "比值";
        Alive { alive: u64, all: usize } => "{alive} of {all} alive", "{alive}/{all} 存活";

        Title { target: String } => "Load test of {target}", "{target} 的负载测试";
        MadeBy { version: String } => "Measured by portwright {version}.", "由 portwright {version} 测得。";
        ComparedWith { direct: String } => "Compared with {direct}, measured in the same run; a ratio of 1 is as fast.",
            "与同一次运行中测得的 {direct} 比较；比值为 1 表示同样快。";
        ThroughputPlot => "Throughput", "吞吐量";
        OperationsPlot => "Operations a second", "每秒操作数";
        LatencyPlot => "Latency by percentile", "各百分位的延迟";
        SizesPlot => "Ping-pong by size of the message: MiB a second", "各消息大小的往返：MiB/秒";
        ConcurrencyPlot => "Ping-pong by connections: messages a second", "各连接数的往返：消息/秒";
        WaitPlot => "Ping-pong by connections: latency", "各连接数的往返：延迟";
        TargetSeries => "target", "目标";
        DirectSeries => "direct", "直连";
        AllNumbers => "All numbers", "全部数据";
        PercentileAxis => "share of operations that were faster", "更快完成的操作所占比例";
    }
}
