//! Words about instances: several copies of one project.

use super::catalogue;

catalogue! {
    /// What is said about the copies of a project.
    InstanceWords {
        Files { name: String, folder: String } =>
            "instance {name} has its own copies of the compose and .env files in {folder}; the project's own files stay as they are",
            "实例 {name} 使用位于 {folder} 的 compose 和 .env 文件副本；项目自己的文件保持不变";
        UndoWith { name: String, id: String } => "`portwright undo --instance {name}` takes the copies away (change {id})",
            "`portwright undo --instance {name}` 可移除这些副本（变更 {id}）";
        HintAfterStart { name: String } =>
            "`portwright status`, `logs` and `down` take `--instance {name}` too",
            "`portwright status`、`logs` 和 `down` 同样使用 `--instance {name}`";
        Shared { name: String, names: String } =>
            "instance {name} shares what has a fixed name with every other copy: {names}",
            "实例 {name} 与其他副本共用名称固定的资源：{names}";
        NotCopied { name: String, file: String } =>
            "instance {name} would need a change in {file}, which another file includes, and only the project's own compose and .env files are copied",
            "实例 {name} 需要修改 {file}，但该文件由其他文件引入；只有项目自己的 compose 和 .env 文件会被复制";
        HintNotCopied => "let a variable of .env decide that port or name",
            "请改由 .env 中的变量决定该端口或名称";
        Differs { name: String } => "the copies for instance {name} would not give the same project",
            "实例 {name} 的副本无法得到同样的项目";
        HintDiffers => "keep one .env file, beside the first compose file", "请只保留一个 .env 文件，放在第一个 compose 文件旁";
        NoOverride => "`--instance` writes into copies of the files, so `--override` has nothing to do",
            "`--instance` 写入的是文件副本，因此 `--override` 没有意义";
        HintNoOverride => "leave `--override` out", "去掉 `--override`";
        NameLocked { file: String, line: usize } =>
            "{file}:{line}: the container name cannot be given an ending: it is written with escapes or over several lines",
            "{file}:{line}：无法给容器名加后缀：它使用了转义或跨越多行";
        HintNameLocked => "write the container name as a plain word", "请把容器名写成普通文本";
        PromisedToInstance { name: String } => "instance {name} of this project has it", "本项目的实例 {name} 占有它";
        PromisedToProject => "the project itself has it; an instance gets another one", "项目本身占有它，实例应使用其他端口";
    }
}
