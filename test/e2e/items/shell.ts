// bash: what scripts do all day.
import type { Item } from '../item.ts'

export const shellItems: readonly Item[] = [
  {
    name: 'pipelines, their statuses, and pipefail',
    script: `
      seq 1 1000 | grep 7 | sed s/7/x/ | sort -r | head -5 | cat -n
      true | false | true; echo "\${PIPESTATUS[*]}"
      set -o pipefail; false | true || echo failed
      yes | head -3; echo $?`,
  },
  {
    name: 'here-documents, here-strings and redirections',
    script: `
      name=world
      cat <<END
hello $name $((6 * 7))
END
      cat <<'END'
raw $name
END
      tr a-z A-Z <<< 'shout'
      echo out > f; echo more >> f; cat < f
      { echo 1; echo 2 >&2; } 2>&1 | sort
      exec 5> five; echo kept >&5; exec 5>&-; cat five
      ls none 2> err || cat err | wc -l
      set -o noclobber; (echo x > f) 2>/dev/null || echo refused`,
  },
  {
    name: 'traps and signals',
    script: `
      trap 'echo got USR1' USR1; kill -USR1 $$
      (trap 'echo bye' EXIT; exit 3) || echo "status $?"
      bash -c 'kill -TERM $$' || echo "status $?"
      bash -c 'kill -SEGV $$' 2>/dev/null || echo "status $?"
      trap '' INT; kill -INT $$; echo alive
      trap 'echo ERR at failure' ERR; set +e; false; echo on`,
  },
  {
    name: 'background jobs, wait and wait -n',
    script: `
      set +e
      sleep 0.4 & sleep 0.1 & (exit 7) & P=$!
      wait $P; echo $?
      wait -n; echo "first: $?"
      wait; echo "all: $?"
      for i in 1 2 3; do (until [ -e go$i ]; do sleep 0.05; done; exit $i) & done
      for i in 2 1 3; do touch go$i; wait -n; echo $?; done; wait -n; echo $?
      coproc { read x; echo "co $x"; }; echo in >&\${COPROC[1]}; read y <&\${COPROC[0]}; echo $y`,
  },
  {
    name: 'job control without a terminal',
    script: `
      set -m
      sleep 100 & jobs | sed 's/ *$//'
      kill -STOP %1; until jobs | grep -q Stopped; do sleep 0.05; done; jobs | sed 's/ *$//'
      kill -CONT %1; kill %1; set +e; wait %1 2>/dev/null; echo $?`,
  },
  {
    name: 'process and command substitution',
    script: `
      diff <(seq 1 5) <(seq 1 6) || true
      paste <(echo a; echo b) <(echo 1; echo 2)
      seq 1 5 | tee >(wc -l > count) > /dev/null; until [ -s count ]; do sleep 0.05; done; cat count
      echo "$(echo nested $(echo deep))"
      mapfile -t lines < <(printf '%s\\n' x y z); echo "\${#lines[@]} \${lines[2]}"`,
  },
  {
    name: 'arrays, globs, arithmetic, case and functions',
    script: `
      touch a1 a2 b1 .hidden; mkdir -p d/e; touch d/e/f
      echo *; echo a?; echo .h*; shopt -s globstar; echo **/f
      declare -A m=([k]=v [two]=2); echo "\${m[k]} \${#m[@]}"
      f() { local x=$1; (( x <= 1 )) && echo 1 || echo $(( x * $(f $((x - 1))) )); }; f 8
      case abc in a*) echo starts;; esac
      printf '%05d|%-5s|%x\\n' 42 ab 255
      read -r -t 1 line <<< "one two"; echo "\${line%% *}"; echo "\${line//o/0}"`,
  },
  {
    name: 'limits',
    script: `
      ulimit -n 50; ulimit -n
      ulimit -f 1; (head -c 5000 /dev/zero > big) 2>/dev/null || echo "too big: $?"
      stat -c %s big
      ulimit -t 5; ulimit -t; ulimit -S -c 0; ulimit -c`,
  },
  {
    name: 'directories, umask and exec',
    script: `
      mkdir -p x/y; cd x/y; pushd .. > /dev/null; basename "$PWD"; popd > /dev/null; basename "$PWD"
      umask 027; touch f; stat -c %a f; umask
      (exec -a renamed bash -c 'echo $0')
      cd; exec 3< /etc/passwd; read -u 3 l; [ -n "$l" ] && echo read
      command -v ls > /dev/null && type -t cd
      timeout 0.2 sleep 10 || echo "timeout $?"`,
  },
  {
    name: 'recursion and many subshells',
    script: `
      n() { if [ $1 -gt 0 ]; then (n $(($1 - 1))); else echo bottom $BASH_SUBSHELL; fi; }; n 25
      for i in $(seq 40); do echo $(( $(echo $i) * 2 )); done | paste -sd+ | bc 2>/dev/null || true`,
  },
]
