// Networks, and namespaces that containers share.

import { equal, match } from 'node:assert/strict'
import { DEBIAN, type Docker, IMAGE, type Row } from '../engine.ts'

const SERVE = 'mkdir -p /w; echo page >/w/index.html; exec httpd -f -p 80 -h /w'

/** Every name has one address. */
const NAME_SERVER = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 53))
while True:
    query, client = s.recvfrom(512)
    end = query.index(b"\\0", 12) + 5
    found = query[end - 4:end - 2] == b"\\0\\1"
    head = query[:2] + b"\\x81\\x80\\0\\1\\0" + bytes([found]) + b"\\0" * 4
    answer = b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0<\\0\\4" + bytes([10, 9, 9, 9])
    s.sendto(head + query[12:end] + (answer if found else b""), client)
`

const serve = (d: Docker, name: string, ...options: string[]) =>
  d.keep(name, ...options, IMAGE, 'sh', '-c', SERVE)
const address = (d: Docker, name: string) =>
  d.ok('inspect', '-f', '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}', name)

/** A page, from where the engine's bridges are. */
async function page(d: Docker, url: string): Promise<void> {
  await d.until(url, () => d.engine.inside('curl', ['-sm', '5', url]).stdout === 'page\n')
}

/** A page, from a container: busybox's wget of Debian cannot look names up. */
async function pageFrom(d: Docker, container: string, host: string): Promise<void> {
  const get = `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc ${host} 80 | tail -1`
  await d.until(host, () => d.docker('exec', container, 'sh', '-c', get).stdout === 'page\n')
}

export const networkRows: Row[] = [
  {
    name: '--network none',
    quick: true,
    test(d) {
      const script = 'ip -o link | wc -l; ip -o addr show lo | grep -c 127.0.0.1'
      equal(d.sh(['--network', 'none'], script), '1\n1')
    },
  },
  {
    name: 'the bridge: an address and a route',
    needs: ['network'],
    quick: true,
    test: d =>
      equal(d.sh([], 'ip -4 -o addr show eth0 | wc -l; ip route | grep -c default'), '1\n1'),
  },
  {
    name: 'the bridge: reached by its address',
    needs: ['network'],
    async test(d) {
      serve(d, 'web')
      await page(d, `http://${address(d, 'web')}/`)
    },
  },
  {
    name: '-p: a published port',
    needs: ['network'],
    quick: true,
    async test(d) {
      serve(d, 'web', '-p', '127.0.0.1::80')
      await page(d, `http://${d.ok('port', 'web', '80/tcp')}/`)
    },
  },
  {
    name: '--expose, -P: a port that Docker chooses',
    needs: ['network'],
    async test(d) {
      serve(d, 'web', '--expose', '80', '-P')
      await page(d, `http://127.0.0.1:${d.ok('port', 'web', '80/tcp').split(':').at(-1)}/`)
    },
  },
  {
    name: '--mac-address',
    needs: ['network'],
    test(d) {
      const mac = '02:42:ac:11:00:99'
      equal(d.sh(['--mac-address', mac], 'cat /sys/class/net/eth0/address'), mac)
    },
  },
  {
    name: '--link',
    needs: ['network'],
    async test(d) {
      serve(d, 'web')
      d.sleeper('client', '--link', 'web:linked')
      await pageFrom(d, 'client', 'linked')
    },
  },
  {
    name: 'a name server elsewhere',
    needs: ['network', 'debian'],
    async test(d) {
      d.keep('names', DEBIAN, 'python3', '-c', NAME_SERVER)
      d.sleeper('client', '--dns', address(d, 'names'))
      const found = () => d.docker('exec', 'client', 'nslookup', 'some.example').stdout
      await d.until('an address', () => found().includes('10.9.9.9'))
    },
  },
  {
    name: '-p: a published UDP port',
    needs: ['network', 'debian'],
    async test(d) {
      const receive =
        '$s = IO::Socket::INET->new(LocalPort => 99, Proto => "udp"); $s->recv($m, 9); print $m'
      d.keep(
        'udp',
        '-p',
        '127.0.0.1:9999:99/udp',
        DEBIAN,
        'perl',
        '-MIO::Socket::INET',
        '-e',
        receive,
      )
      await d.until('datagram', () => {
        d.engine.inside('bash', ['-c', 'echo data >/dev/udp/127.0.0.1/9999'])
        return d.docker('logs', 'udp').stdout === 'data\n'
      })
    },
  },
  {
    name: '--dns, --dns-search',
    needs: ['network'],
    test: d =>
      equal(
        d.sh(['--dns', '10.9.8.7', '--dns-search', 'example.com'], 'cat /etc/resolv.conf'),
        'search example.com\nnameserver 10.9.8.7',
      ),
  },
  {
    name: '--add-host',
    needs: ['network'],
    test: d =>
      match(d.sh(['--add-host', 'over:10.1.2.3'], 'cat /etc/hosts'), /^10\.1\.2\.3\s+over$/m),
  },
  {
    name: 'ping of the bridge',
    needs: ['network'],
    test(d) {
      const gateway = "$(ip route | awk '/default/ {print $3}')"
      equal(d.sh([], `ping -c 1 ${gateway} >/dev/null && echo ok`), 'ok')
    },
  },
  {
    name: 'a user network: names of containers',
    needs: ['network'],
    quick: true,
    async test(d) {
      d.ok('network', 'create', 'net1')
      serve(d, 'web', '--network', 'net1', '--network-alias', 'alias')
      d.sleeper('client', '--network', 'net1')
      await pageFrom(d, 'client', 'web')
      await pageFrom(d, 'client', 'alias')
      match(d.exec('client', 'nslookup web 127.0.0.11'), new RegExp(address(d, 'web')))
    },
  },
  {
    name: 'a user network: a fixed address',
    needs: ['network'],
    test(d) {
      d.ok('network', 'create', '--subnet', '10.77.0.0/24', 'net2')
      const options = ['--network', 'net2', '--ip', '10.77.0.9']
      match(d.sh(options, 'ip -4 -o addr show eth0'), /10\.77\.0\.9\/24/)
    },
  },
  {
    name: 'network connect and disconnect while it runs',
    needs: ['network'],
    async test(d) {
      d.ok('network', 'create', 'net3')
      serve(d, 'web', '--network', 'net3')
      d.sleeper('client')
      d.ok('network', 'connect', 'net3', 'client')
      equal(d.exec('client', 'ip -o link | wc -l'), '3')
      await pageFrom(d, 'client', 'web')
      d.ok('network', 'disconnect', 'net3', 'client')
      equal(d.exec('client', 'ip -o link | wc -l'), '2')
    },
  },
  {
    name: '--network container:X',
    needs: ['network'],
    async test(d) {
      serve(d, 'web')
      d.sleeper('beside', '--network', 'container:web')
      await pageFrom(d, 'beside', '127.0.0.1')
    },
  },
  {
    name: '--network host',
    needs: ['network'],
    test: d => match(d.sh(['--network', 'host'], 'ip -o link'), /docker0/),
  },
  {
    name: '--pid container:X',
    async test(d) {
      d.keep('first', IMAGE, 'sh', '-c', 'sleep 555; echo ended; exec sleep 1000')
      d.sleeper('second', '--pid', 'container:first')
      match(d.exec('second', 'ip -o -4 addr show eth0'), /172\.17\./)
      match(d.exec('second', 'ps'), /\b1 .*sleep 555/)
      d.exec('second', "kill $(ps | awk '/sleep 55[5]$/ && !/sh -c/ {print $1}')")
      await d.until('a signal', () => d.docker('logs', 'first').stdout === 'ended\n')
    },
  },
  {
    name: '--pid container:X, where X has joined another and ends',
    test(d) {
      d.keep('first', IMAGE, 'sh', '-c', 'sleep 555; exec sleep 1000')
      d.sleeper('second', '--pid', 'container:first')
      d.sleeper('third', '--pid', 'container:second')
      match(d.exec('third', 'ps'), /\b1 .*sleep 555/)
      d.ok('rm', '-f', 'second')
      match(d.exec('third', 'ps'), /\b1 .*sleep 555/)
    },
  },
  { name: '--pid host', test: d => equal(d.sh(['--pid', 'host'], 'echo on'), 'on') },
  { name: '--ipc host', test: d => equal(d.sh(['--ipc', 'host'], 'echo on'), 'on') },
  {
    name: '--ipc container:X',
    needs: ['debian'],
    test(d) {
      d.keep('first', '--ipc', 'shareable', DEBIAN, 'sleep', '1000')
      const id = d.exec('first', 'ipcmk -Q').match(/\d+/)![0]
      match(d.run('--ipc', 'container:first', DEBIAN, 'ipcs', '-q'), new RegExp(`\\b${id}\\b`))
    },
  },
  {
    name: '--uts host',
    test: d =>
      equal(d.sh(['--uts', 'host'], 'hostname'), d.engine.inside('hostname', []).stdout.trim()),
  },
]
