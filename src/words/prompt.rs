//! Words of questions and their answers.

use super::{Message, catalogue};

catalogue! {
    /// Questions, choices and what is said when nobody can be asked.
    PromptWords {
        Automatic { port: u16 } => "automatic: use {port}", "自动：改用 {port}";
        Manual => "manual: type a port", "手动：输入端口";
        Keep { port: u16 } => "keep {port}", "保留 {port}";
        Abort => "stop and change nothing", "停止，不做任何修改";
        AutomaticForAll { others: usize } => "automatic for this and {others} more", "自动，其余 {others} 个也一样";
        Choose => "Choose with arrow keys and Enter:", "用方向键和回车选择：";
        PortQuestion => "Port: ", "端口：";
        Refused { reason: Box<Message> } => "refused: {reason}", "不可用：{reason}";
        YesByDefault => "[Y/n]", "[Y/n]";
        NoByDefault => "[y/N]", "[y/N]";
        Yes => "yes", "是";
        No => "no", "否";
        TypeToConfirm { word: String } => "Type {word} to confirm:", "输入 {word} 以确认：";

        Interrupted => "interrupted; nothing was changed", "已中断，未做任何修改";
        CannotAskAboutConflict { question: Box<Message> } =>
            "{question}, and there is no terminal to ask on", "{question}，且没有可用于询问的终端";
        AnswerConflictByFlag { name: String } =>
            "answer beforehand with `--yes`, `--on-conflict auto|keep|fail` or `--port {name}=PORT`",
            "请用 `--yes`、`--on-conflict auto|keep|fail` 或 `--port {name}=端口` 预先作答";
        CannotConfirm => "a confirmation is needed, and there is no terminal to ask on", "需要确认，但没有可用于询问的终端";
        ConfirmByFlag => "confirm beforehand with `--yes`", "请用 `--yes` 预先确认";
        ConfirmOnTerminal => "run it on a terminal; no flag stands for this confirmation", "请在终端上运行；此确认不能用参数代替";
    }
}
