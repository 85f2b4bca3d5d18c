//! Words about `.env` files and interpolation. No entry takes a value of a `.env` file: values may be secrets.

use super::catalogue;

catalogue! {
    /// Messages about `.env` files.
    DotenvWords {
        TooLarge { limit: usize } =>
            "the file is larger than {limit} KiB", "文件超过 {limit} KiB";
        TooLargeHint =>
            "a .env file holds settings; keep other data in a file of its own", ".env 只放配置；其他数据请放到单独的文件中";
        Utf16 => "the file is UTF-16, which compose cannot read", "文件是 UTF-16 编码，compose 无法读取";
        Utf16Hint =>
            "save it as UTF-8: iconv -f UTF-16 -t UTF-8 .env > .env.utf8, then rename it",
            "请另存为 UTF-8：iconv -f UTF-16 -t UTF-8 .env > .env.utf8，再改回原名";
        Nul { line: usize, column: usize } =>
            "line {line}, column {column}: a NUL byte; this is not a text file",
            "第 {line} 行第 {column} 列：含有 NUL 字节，不是文本文件";
        NulHint => "delete the byte, or restore the file from a copy", "请删除该字节，或用备份恢复文件";
        NameCharacter { line: usize, column: usize, character: char } =>
            "line {line}, column {column}: {character:?} cannot stand in a variable name",
            "第 {line} 行第 {column} 列：变量名中不能有 {character:?}";
        NameSpace { line: usize, column: usize } =>
            "line {line}, column {column}: a variable name cannot contain a space",
            "第 {line} 行第 {column} 列：变量名中不能有空格";
        NameMissing { line: usize, column: usize } =>
            "line {line}, column {column}: `export` without a variable name",
            "第 {line} 行第 {column} 列：`export` 后面没有变量名";
        Unterminated { line: usize, column: usize, name: String } =>
            "line {line}, column {column}: the quote that opens the value of {name} is never closed",
            "第 {line} 行第 {column} 列：{name} 的值的引号没有结束";
        SyntaxHint =>
            "fix that line; compose cannot read the file either: docker compose config",
            "请修正这一行；compose 也读不了这个文件：docker compose config";
        Template { line: usize, name: String } =>
            "line {line}: the value of {name} holds a ${{ that cannot be read",
            "第 {line} 行：{name} 的值中有无法识别的 ${{";
        TemplateHint =>
            "write ${{NAME}} or ${{NAME:-default}}, or $$ for a dollar sign",
            "请写成 ${{NAME}} 或 ${{NAME:-默认值}}；美元符号写 $$";
        Required { line: usize, name: String, variable: String } =>
            "line {line}: {name} needs {variable}, which has no value",
            "第 {line} 行：{name} 需要 {variable}，但它没有值";
        RequiredHint { variable: String } =>
            "set it above that line, or in the shell: export {variable}=…",
            "请在该行之前设置它，或在 shell 中执行：export {variable}=…";
        TooDeep { line: usize, name: String } =>
            "line {line}: the defaults in the value of {name} nest too deep",
            "第 {line} 行：{name} 的默认值嵌套过深";
        TooLong { line: usize, name: String } =>
            "line {line}: {name} expands to more than any program can take as its environment",
            "第 {line} 行：{name} 展开后过长，超出任何程序的环境变量上限";
        Indirect { line: usize, name: String, variables: String } =>
            "line {line}: {name} takes its value from {variables}; a fixed value there would replace that reference",
            "第 {line} 行：{name} 的值取自 {variables}；直接写入固定值会丢掉这个引用";
        IndirectHint { variables: String } =>
            "set {variables} instead, or change the line by hand", "请改设 {variables}，或手动修改这一行";
        BadName { name: String } =>
            "{name:?} cannot be the name of a variable that compose replaces",
            "{name:?} 不能作为 compose 可替换的变量名";
        BadNameHint =>
            "names are ASCII letters, digits and _, and do not start with a digit",
            "变量名只能由 ASCII 字母、数字和 _ 组成，且不以数字开头";
        Unwritable { name: String } =>
            "the value for {name} cannot be written so that compose reads it back unchanged",
            "无法把 {name} 的值写成 compose 能原样读回的形式";
        UnwritableHint =>
            "set it in the shell, or choose a value without NUL and without a backslash at its end or before a '",
            "请改在 shell 中设置，或换一个值：不含 NUL，反斜杠不在末尾也不在 ' 之前";
    }
}
