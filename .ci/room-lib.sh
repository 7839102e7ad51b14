# room-lib.sh: for what runs in a fresh Debian of .ci/boot or .ci/hookups.
is() { [ "$2" = "$3" ] || { echo "$1 is $2, expected $3"; false; }; }
within() { local end=$((SECONDS + $1)); shift; until "$@"; do [ $SECONDS -lt $end ] || { echo "never: $*"; false; }; sleep 0.1; done; }
listens() { (exec 3<>"/dev/tcp/${2:-127.0.0.1}/$1") 2>/dev/null; }
active() { systemctl is-active --quiet bounced && bounced readyz >/dev/null 2>&1; }
# blocks FILE HEADING LANGUAGE: those of a section of a document.
blocks() { python3 -c 'import re, sys
section = open(sys.argv[1]).read().split("\n" + sys.argv[2] + "\n")[1].split("\n## ")[0]
print("\n".join(re.findall("```" + sys.argv[3] + "\n(.*?)```", section, re.S)))' "$@"; }
# Writes settings of a block where they stand commented out in the file; tables that it has not are added.
settings() { python3 -c 'import re, sys
lines, table, added = open("/etc/bounced/bounced.toml").read().split("\n"), "", []
for line in sys.stdin.read().strip().split("\n"):
    if line.startswith("["):
        table = line
    if table.startswith("[[") or line == "":
        added.append(line)
        continue
    if line.startswith("["):
        continue
    key = line.split("=")[0].strip()
    start = lines.index(table) if table else 0
    place = next(i for i in range(start, len(lines)) if re.match(rf"#?{key} = ", lines[i]))
    lines[place] = line
open("/etc/bounced/bounced.toml", "w").write("\n".join(lines + added) + "\n")'; }
