// Interpreters and tool chains: what each prints is known.

import type { Item } from '../item.ts'

const python = (code: string) => `cat > t.py <<'END'\n${code}\nEND\npython3 t.py`

export const languageItems: readonly Item[] = [
  {
    name: 'perl: runs programs with files, pipes and forks',
    script: `perl -e '
      open my $f, ">", "x" or die; print $f "line $_\\n" for 1..100; close $f;
      open $f, "<", "x"; my @l = <$f>; print scalar(@l), "\\n";
      my $p = open(my $pipe, "-|") // die; if (!$p) { print "child\\n"; exit 0 } print <$pipe>; close $pipe;
      my %h; $h{$_ % 7}++ for 1..10000; print join(",", map { $h{$_} } sort keys %h), "\\n";
      local $SIG{ALRM} = sub { print "alarm\\n" }; alarm 1; select(undef, undef, undef, 3); print "\${\\ join q(-), sort qw(c b a)}\\n"'`,
    stdout: '100\nchild\n1428,1429,1429,1429,1429,1428,1428\nalarm\na-b-c\n',
  },
  {
    name: 'python: threads, locks and queues',
    script: python(`
import threading, queue, concurrent.futures as f
q, n, lock = queue.Queue(), 0, threading.Lock()
def work():
    global n
    while (x := q.get()) is not None:
        with lock: n += x
ts = [threading.Thread(target=work) for _ in range(16)]
[t.start() for t in ts]
[q.put(i) for i in range(2000)]; [q.put(None) for _ in ts]; [t.join() for t in ts]
print(n)
with f.ThreadPoolExecutor(8) as p: print(sum(p.map(lambda x: x * x, range(100))))
e = threading.Event(); threading.Timer(0.05, e.set).start(); print(e.wait(5))`),
    stdout: '1999000\n328350\nTrue\n',
  },
  {
    name: 'python: subprocesses',
    script: python(`
import subprocess as s, sys, os
print(s.run(['sh', '-c', 'cat; exit 3'], input=b'in', capture_output=True))
p = s.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); p.terminate(); print(p.wait())
try: s.run(['sleep', '9'], timeout=0.1)
except s.TimeoutExpired: print('timeout')
try: s.run(['/none'])
except FileNotFoundError: print('missing')
a = s.Popen(['seq', '1', '100000'], stdout=s.PIPE); b = s.run(['tail', '-1'], stdin=a.stdout, capture_output=True); print(b.stdout)
print(os.system('exit 5') >> 8, s.getoutput('echo hi'))`),
    stdout:
      "CompletedProcess(args=['sh', '-c', 'cat; exit 3'], returncode=3, stdout=b'in', stderr=b'')\n-15\ntimeout\nmissing\nb'100000\\n'\n5 hi\n",
  },
  {
    name: 'python: processes with queues, pools and shared memory',
    seconds: 120,
    script: python(`
import multiprocessing as m, os
def sq(x): return x * x
def put(q, v): q.put((v, 1)); v2 = v
def add(v, l):
    for _ in range(100):
        with l: v.value += 1
if __name__ == '__main__':
    with m.Pool(4) as p: print(sum(p.map(sq, range(200))))
    q = m.Queue(); ps = [m.Process(target=put, args=(q, i)) for i in range(5)]
    [p.start() for p in ps]; print(sorted(q.get() for _ in ps)); [p.join() for p in ps]
    v, l = m.Value('i', 0), m.Lock(); ps = [m.Process(target=add, args=(v, l)) for _ in range(4)]
    [p.start() for p in ps]; [p.join() for p in ps]; print(v.value)
    from multiprocessing import shared_memory as sm
    b = sm.SharedMemory(create=True, size=100); c = sm.SharedMemory(b.name); b.buf[5] = 9; print(c.buf[5]); c.close(); b.close(); b.unlink()
    ctx = m.get_context('spawn'); p = ctx.Process(target=print, args=('spawned',)); p.start(); p.join()`),
    stdout: '2646700\n[(0, 1), (1, 1), (2, 1), (3, 1), (4, 1)]\n400\n9\nspawned\n',
  },
  {
    name: 'python: asyncio: timers, subprocesses, streams and signals',
    script: python(`
import asyncio, os, signal
async def main():
    async def t(n): await asyncio.sleep(n / 50); return n
    print(await asyncio.gather(*[t(i) for i in (3, 1, 2)]))
    p = await asyncio.create_subprocess_exec('tr', 'a-z', 'A-Z', stdin=-1, stdout=-1); print((await p.communicate(b'loud'))[0])
    async def serve(r, w): w.write((await r.readline()).upper()); await w.drain(); w.close()
    s = await asyncio.start_unix_server(serve, 's'); r, w = await asyncio.open_unix_connection('s'); w.write(b'hello\\n'); print(await r.read()); s.close()
    e = asyncio.Event(); asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, e.set); os.kill(os.getpid(), signal.SIGUSR1); await e.wait(); print('signal')
    try: await asyncio.wait_for(asyncio.sleep(9), 0.05)
    except asyncio.TimeoutError: print('timeout')
asyncio.run(main())`),
    stdout: "[3, 1, 2]\nb'LOUD'\nb'HELLO\\n'\nsignal\ntimeout\n",
  },
  {
    name: 'python: TCP over the loopback interface',
    script: python(`
import asyncio
async def main():
    async def tcp(r, w): w.write(b'tcp'); await w.drain(); w.close()
    s = await asyncio.start_server(tcp, '127.0.0.1', 0); r, w = await asyncio.open_connection(*s.sockets[0].getsockname()); print(await r.read())
asyncio.run(main())`),
    stdout: "b'tcp'\n",
  },
  {
    name: 'python: sqlite in a file, with a journal and with a write-ahead log',
    script: python(`
import sqlite3, os
for mode in ('delete', 'wal'):
    d = sqlite3.connect(f'{mode}.db'); print(d.execute(f'pragma journal_mode={mode}').fetchone()[0])
    d.execute('create table t (a integer primary key, b text)')
    with d: d.executemany('insert into t (b) values (?)', [(str(i),) for i in range(5000)])
    other = sqlite3.connect(f'{mode}.db', timeout=0.1); print(other.execute('select count(*), sum(b) from t').fetchone())
    d.execute('begin immediate')
    try: other.execute('insert into t (b) values (1)'); print('no lock')
    except sqlite3.OperationalError as e: print(e)
    d.rollback(); print(d.execute('pragma integrity_check').fetchone()[0])`),
    stdout:
      'delete\n(5000, 12497500)\ndatabase is locked\nok\nwal\n(5000, 12497500)\ndatabase is locked\nok\n',
  },
  {
    name: 'python: mmap, select, signal, tempfile and zipfile',
    script: python(`
import mmap, select, signal, tempfile, zipfile, os, io, pty, fcntl, struct, resource, shutil, glob, time, socket
with tempfile.TemporaryFile() as f:
    f.truncate(8192); m = mmap.mmap(f.fileno(), 8192); m[5000:5003] = b'map'; f.seek(5000); print(f.read(3)); m.close()
m = mmap.mmap(-1, 4096); pid = os.fork()
if pid == 0: m[0:5] = b'child'; os._exit(0)
os.waitpid(pid, 0); print(m[:5])
r, w = os.pipe(); print(select.select([r], [w], [], 0)[1] == [w]); os.write(w, b'x'); ep = select.epoll(); ep.register(r, select.EPOLLIN); print(len(ep.poll(1)))
signal.signal(signal.SIGALRM, lambda *a: print('alarm')); signal.setitimer(signal.ITIMER_REAL, 0.05); signal.pause()
with tempfile.TemporaryDirectory() as d:
    z = zipfile.ZipFile(d + '/z.zip', 'w', zipfile.ZIP_DEFLATED); [z.writestr(f'f{i}', 'data' * i) for i in range(100)]; z.close()
    z = zipfile.ZipFile(d + '/z.zip'); print(len(z.namelist()), z.testzip()); z.extractall(d + '/x'); print(len(glob.glob(d + '/x/*'))); shutil.copytree(d + '/x', d + '/y')
print(os.path.exists(d)); a, b = socket.socketpair(); a.send(b'pair'); print(b.recv(9)); print(resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 0)
pid, fd = pty.fork()
if pid == 0: os.execlp('tty', 'tty')
print(os.read(fd, 99)[:9]); os.waitpid(pid, 0)`),
    stdout: "b'map'\nb'child'\nTrue\n1\nalarm\n100 None\n100\nFalse\nb'pair'\nTrue\nb'/dev/pts/'\n",
  },
  {
    name: 'python: a virtual environment',
    seconds: 280,
    script: `
      python3 -m venv --without-pip v; v/bin/python -c "import os, sys; print(os.path.basename(sys.prefix))"; . v/bin/activate
      [ "$(which python)" = "$PWD/v/bin/python" ] && echo active`,
    stdout: 'v\nactive\n',
  },
  {
    name: 'C: make -j2 builds twenty files, and again only what changed',
    seconds: 280,
    script: `
      mkdir p; cd p
      for i in $(seq 20); do echo "int f$i(void) { return $i; }" > f$i.c; done
      { for i in $(seq 20); do echo "int f$i(void);"; done; echo '#include <stdio.h>'; echo 'int main(void) { int s = 0;'
        for i in $(seq 20); do echo "s += f$i();"; done; echo 'printf("%d\\n", s); return 0; }'; } > main.c
      printf 'OBJ := $(patsubst %%.c,%%.o,$(wildcard *.c))\\nprog: $(OBJ)\\n\\t@$(CC) -o $@ $^\\n%%.o: %%.c\\n\\t@echo CC $<; $(CC) -O1 -c -o $@ $<\\n' > Makefile
      make -j2 | wc -l; ./prog; make | tail -1; sleep 0.05; touch f3.c; make; gcc -static -o st main.c f*.c && ./st; gcc -g -fsanitize=undefined -c main.c -o /dev/null && echo san`,
    stdout: "21\n210\nmake: 'prog' is up to date.\nCC f3.c\n210\nsan\n",
  },
  {
    name: 'git: init, add, commit, branch, merge, log, clone, gc',
    seconds: 180,
    script: `
      export HOME=$PWD; git config --global user.email a@b.c; git config --global user.name n; git config --global init.defaultBranch main
      git init -q g; cd g; for i in $(seq 50); do echo $i > f$i; done; git add . && git commit -qm first
      git checkout -qb side; echo s >> f1; git commit -qam side; git checkout -q main; echo m >> f2; git commit -qam main2; git merge -q -m merged side
      git log --oneline | wc -l; git status --short | wc -l; git gc -q; git fsck 2>&1 | wc -l; git clone -q . ../h; ls ../h | wc -l; git -C ../h log -1 --format=%s
      git stash list | wc -l; git diff HEAD~1 --stat | tail -1`,
    stdout: '4\n0\n0\n50\nmerged\n0\n 1 file changed, 1 insertion(+)\n',
  },
  {
    name: 'node: timers, workers, children and streams',
    script: `cat > t.mjs <<'END'
import { Worker, isMainThread, parentPort } from 'node:worker_threads'
import { execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { promises as fs, watch } from 'node:fs'
import net from 'node:net'
import zlib from 'node:zlib'
if (!isMainThread) { let s = 0; for (let i = 0; i < 1e6; i++) s += i; parentPort.postMessage(s) }
else {
  const t = Date.now(); await new Promise(r => setTimeout(r, 50)); console.log(Date.now() - t >= 49)
  console.log((await Promise.all([1, 2, 3].map(() => new Promise(r => new Worker(new URL(import.meta.url)).on('message', r))))).join())
  console.log(execFileSync('echo', ['child']).toString().trim())
  const c = spawn('cat'); c.stdin.end('piped'); console.log(await new Promise(r => c.stdout.on('data', d => r(d.toString()))))
  await fs.writeFile('x', 'abc'.repeat(1e5)); console.log(createHash('sha1').update(await fs.readFile('x')).digest('hex'))
  console.log(zlib.gunzipSync(zlib.gzipSync('zip')).toString())
  const s = net.createServer(k => k.end('unix')).listen('n.sock'); await new Promise(r => s.on('listening', r))
  console.log(await new Promise(r => net.connect('n.sock').on('data', d => r(d.toString())))); s.close()
}
END
$NODE t.mjs`,
    stdout:
      'true\n499999500000,499999500000,499999500000\nchild\npiped\nbbfec7b9ef29840479ea99cc0e25cc8c285ea303\nzip\nunix\n',
  },
  {
    name: 'node: fs.watch hears of changes, or says that it cannot',
    script: `cat > w.mjs <<'END'
import { mkdirSync, watch, writeFileSync } from 'node:fs'
mkdirSync('d')
try {
  const watcher = watch('d', (_, name) => { console.log(name); watcher.close() })
  writeFileSync('d/new', 'x')
} catch (error) { console.log(error.code === 'ENOSYS' ? 'new' : error) }
END
$NODE w.mjs`,
    stdout: 'new\n',
  },
]
