# Owns one PostgreSQL server for a test process, which speaks to it in lines on stdin. End of input means that the process
# is gone, however it went: then the server is stopped and its directory removed. So nothing is ever left behind.
#
# usage: sh -c "$(cat supervisor.sh)" supervisor PROGRAMS DIRECTORY [SETTING]...
# verbs: `start PORT ATTEMPTS`, `stop`, `kill`; each is answered with one line, `done` or `failed`

programs=$1 directory=$2
shift 2
data=$directory/data log=$directory/log
pid='' port='' killed=''

# Ctrl-C reaches a whole process group, and an answer may meet a closed pipe: neither may keep us from cleaning up.
trap '' HUP INT PIPE TERM

initialise() {
    "$programs/initdb" --pgdata="$data" --username=postgres --auth=trust --encoding=UTF8 --no-sync "$@" \
        </dev/null >>"$log" 2>&1
}

# Returns when the server accepts connections, or fails when it has given up.
launch() {
    "$programs/postgres" -D "$data" -k "$directory" -p "$port" </dev/null >>"$log" 2>&1 &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        # What pg_ctl looks at, too. The process id tells our file from one that a killed server left.
        state=$(sed -n '1p;8s/ *$//p' "$data/postmaster.pid" 2>/dev/null | tr '\n' ' ')
        [ "$state" = "$pid ready " ] && return 0
        sleep 0.02
    done
    pid=''
    return 1
}

# The shared memory of killed processes lingers for moments, and until then no other postmaster can start: hence the attempts.
start() {
    port=$1 attempts=$2
    until launch; do
        attempts=$((attempts - 1))
        [ "$attempts" -gt 0 ] || return 1
        sleep 0.1
    done
    killed=''
}

finish() {
    [ -n "$pid" ] || return 0
    kill -s "$1" "$pid" && wait "$pid"
    pid=''
}

# The sessions go, too: left alone they would commit what arrives before they notice.
crash() {
    [ -n "$pid" ] || return 0
    kill -s STOP "$pid" # no new sessions meanwhile
    # shellcheck disable=SC2046
    kill -s KILL "$pid" $(children)
    wait "$pid"
    pid='' killed=yes
}

children() {
    if [ -d /proc/self ]; then # a small image may lack ps
        sed -n "s/^\([0-9]*\) (.*) [A-Z] $pid .*/\1/p" /proc/[0-9]*/stat 2>/dev/null
    else
        ps -A -o pid= -o ppid= | sed -n "s/^ *\([0-9]*\)  *$pid *$/\1/p"
    fi
}

# A real database has a linguistic collation, under which a forgotten COLLATE "C" shows. Not every build has ICU.
initialise --locale=C --locale-provider=icu --icu-locale=en || {
    rm -rf "$data"
    initialise --locale=C
} && for setting; do echo "$setting" >>"$data/postgresql.conf"; done && echo done || echo failed

while read -r verb arguments; do
    case $verb in
        # shellcheck disable=SC2086
        start) start $arguments ;;
        stop) finish INT ;;
        kill) crash ;;
    esac && echo done || echo failed
done

# Only a server can remove the shared memory of its killed predecessor.
[ -z "$killed" ] || start "$port" 100
finish QUIT
rm -rf "$directory"
