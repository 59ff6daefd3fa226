// SPDX-License-Identifier: Apache-2.0
// A simulated Windows guest, as kiln sees one: it stands at RUN/vmhost.sock in the place of the
// process that runs guests, and answers guest agent commands the way a Windows agent does. What a
// script says is not run, but for a few statements of PowerShell, one a line.
//
// Environment: SOCKET, LOG (a file: what was asked, one JSON object a line), UPDATES (a JSON array of {title, restart}), NO_FREEZE, STAY_DOWN (a restart never ends).
import { createServer } from 'node:net';
import { spawn } from 'node:child_process';
import { appendFileSync, chmodSync, readFileSync, unlinkSync } from 'node:fs';

const { SOCKET: socket, LOG: log } = process.env;
const note = (what) => appendFileSync(log, JSON.stringify(what) + '\n');
const DIR = 'C:\\Windows\\Temp\\kiln-';
const WRAPPER = /^\$ProgressPreference = 'SilentlyContinue'; \. '(.*?)'; try \{ & '(.*?)'; \$code = \$LASTEXITCODE \} finally \{.*\}; exit \$code$/;
let updates = JSON.parse(process.env.UPDATES ?? '[]');

class Failure extends Error {
	constructor(message, code = -5) {
		super(message);
		this.code = code;
	}
}

class Guest {
	files = new Map(); // path -> Buffer
	handles = new Map();
	processes = new Map();
	next = 100;
	downs = 0;
	frozen = false;
	constructor(send) {
		this.send = send;
		// Something with a pid that kiln may watch, as QEMU has one.
		this.qemu = spawn('/bin/sleep', ['1000000'], { stdio: 'ignore', detached: true });
	}
	up(up) {
		this.running = up;
		if (!up) this.downs++;
		this.send({ event: 'agent', up, downs: this.downs });
	}
	restart() {
		note({ restart: true });
		setTimeout(() => {
			this.up(false);
			if (!process.env.STAY_DOWN) setTimeout(() => this.up(true), 100);
		}, 20);
	}
	off() {
		note({ off: true });
		setTimeout(() => {
			this.up(false);
			this.send({ event: 'end', reason: 'it shut down' });
		}, 50);
	}
	end() {
		this.qemu.kill('SIGKILL');
	}

	// What a few statements do. Return: [exit code, output, error output].
	script(text, env) {
		let code = 0, out = '', error = '';
		if (text.includes('Microsoft.Update.Session')) return this.update(text);
		if (text.includes('sysprep.exe')) {
			this.off();
			return [0, 'IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE\r\n', ''];
		}
		for (const line of text.replace(/^\ufeff/, '').split(/\r?\n/)) {
			let m;
			if ((m = /^Write-Output '(.*)'$/.exec(line))) out += m[1].replaceAll("''", "'") + '\r\n';
			else if ((m = /^Write-Output \$env:(\w+)$/.exec(line))) out += (env[m[1]] ?? '') + '\r\n';
			else if ((m = /^Write-Error '(.*)'$/.exec(line))) error += m[1] + '\r\n';
			else if ((m = /^Get-Content '(.*)'$/.exec(line))) out += (this.files.get(m[1]) ?? '') + '\r\n';
			else if ((m = /^cmd \/c exit (-?\d+)$/.exec(line))) code = Number(m[1]);
			else if ((m = /^exit (-?\d+)$/.exec(line))) return [Number(m[1]), out, error];
			else if (line === 'exit $LASTEXITCODE') return [code, out, error];
			else if (line === 'throw') return [1, out, 'ScriptHalted\r\n'];
		}
		return [code, out, error];
	}
	// One round: the first `limit` updates whose titles no exclude filter names.
	update(text) {
		const limit = Number(/^\$limit = (\d+)\r$/m.exec(text)[1]);
		const excluded = [...text.matchAll(/'exclude:\$_\.Title -like ''\*(.*?)\*'''/g)].map((m) => m[1]);
		const left = updates.filter((u) => !excluded.some((e) => u.title.includes(e)));
		const now = left.slice(0, limit);
		note({ update: now.map((u) => u.title), criteria: /\$criteria = '(.*)'\r$/m.exec(text)[1] });
		if (now.length === 0) return [0, 'no updates are left\r\n', ''];
		if (!now[0].endless) updates = updates.filter((u) => !now.includes(u));
		return [now.some((u) => u.restart) ? 101 : 100, now.map((u) => `update: ${u.title}\r\n`).join(''), ''];
	}
	environment(text) {
		const env = {};
		for (const m of text.matchAll(/^\$env:(\w+) = '((?:[^']|'')*)'\r$/gm)) env[m[1]] = m[2].replaceAll("''", "'");
		return env;
	}
	powershell(args) {
		if (args.includes('-Command')) return [0, '', ''];
		const text = Buffer.from(args[args.indexOf('-EncodedCommand') + 1], 'base64').toString('utf16le');
		const m = WRAPPER.exec(text);
		if (!m || m[1] !== DIR + 'env.ps1' || m[2] !== DIR + 'script.ps1') return [1, '', 'not the wrapper: ' + text];
		const env = this.environment(this.files.get(m[1])?.toString() ?? '');
		const script = this.files.get(m[2])?.toString();
		if (script === undefined) return [1, '', 'no script'];
		note({ powershell: args.slice(0, 6), script, env });
		return this.script(script, env);
	}
	command(path, args) {
		if (path.endsWith('powershell.exe')) return this.powershell(args);
		note({ exec: path, args });
		const line = args.join(' ');
		if (/shutdown.*\/r/.test(path + ' ' + line)) this.restart();
		if (/^\/c del /.test(line)) for (const f of this.files.keys()) if (f.startsWith(DIR)) this.files.delete(f);
		return [/^\/c exit (\d+)/.test(line) ? Number(/exit (\d+)/.exec(line)[1]) : 0, '', ''];
	}

	'guest-ping'() {
		return {};
	}
	'guest-fstrim'() {
		return { paths: [] };
	}
	'guest-fsfreeze-freeze'() {
		if (process.env.NO_FREEZE) throw new Failure('The VSS provider is not registered');
		this.frozen = true;
		return 1;
	}
	'guest-fsfreeze-thaw'() {
		const was = this.frozen;
		this.frozen = false;
		return was ? 1 : 0;
	}
	'guest-file-open'({ path, mode }) {
		if (!/^[A-Z]:\\/.test(path)) throw new Failure(`failed to open file '${path}': The system cannot find the path specified.`);
		if (mode.startsWith('w')) this.files.set(path, Buffer.alloc(0));
		else if (!this.files.has(path)) throw new Failure(`failed to open file '${path}': The system cannot find the file specified.`);
		this.handles.set(++this.next, { path, at: 0 });
		return this.next;
	}
	'guest-file-write'({ handle, 'buf-b64': data }) {
		const { path } = this.handles.get(handle), bytes = Buffer.from(data, 'base64');
		this.files.set(path, Buffer.concat([this.files.get(path), bytes]));
		return { count: bytes.length, eof: false };
	}
	'guest-file-close'({ handle }) {
		const { path } = this.handles.get(handle);
		if (!path.startsWith(DIR)) note({ file: path, bytes: this.files.get(path).length });
		this.handles.delete(handle);
		return {};
	}
	'guest-exec'({ path, arg, 'capture-output': capture }) {
		const [exitcode, out, error] = this.command(path, arg ?? []);
		const result = { exited: true, exitcode };
		if (capture && out) result['out-data'] = Buffer.from(out).toString('base64');
		if (capture && error) result['err-data'] = Buffer.from(error).toString('base64');
		this.processes.set(++this.next, { result, asked: 0 });
		return { pid: this.next };
	}
	'guest-exec-status'({ pid }) {
		const p = this.processes.get(pid);
		if (!p) throw new Failure(`Invalid parameter 'pid'`);
		return p.asked++ === 0 ? { exited: false } : p.result;
	}
	agent({ execute, arguments: args }) {
		if (!this.running) throw new Failure('Guest agent is not responding: QEMU guest agent is not connected', -11);
		if (typeof this[execute] !== 'function' || !execute.startsWith('guest-'))
			throw new Failure(`The command ${execute} has not been found`);
		if (this.frozen && execute !== 'guest-fsfreeze-thaw') throw new Failure(`${execute}: the file systems are frozen`);
		return { return: this[execute](args ?? {}) };
	}
}

const ticks = (pid) => Number(readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/.*\) /, '').split(' ')[19]);

function serve(connection) {
	let guest, rest = '';
	const send = (m) => connection.writable && connection.write(JSON.stringify(m) + '\n');
	const ops = {
		hello: () => ({ pid: process.pid }),
		leave: () => ({ last: false }),
		start({ spec }) {
			note({ start: { network: spec.network, proxy: Boolean(spec.httpProxy), overlay: Boolean(spec.overlay) } });
			guest = new Guest(send);
			setTimeout(() => guest.up(true), 50);
			const pid = guest.qemu.pid;
			return { pid, start: ticks(pid), pgid: pid, startNs: Number(process.hrtime.bigint()), kvm: false };
		},
		destroy() {
			guest?.end();
			guest = undefined;
			return {};
		},
		snapshot({ path }) {
			note({ snapshot: guest.frozen });
			readFileSync(path, { flag: 'r' });
			return {};
		},
		agent: ({ command }) => guest.agent(command),
	};
	connection.setEncoding('utf8');
	connection.on('data', (text) => {
		const lines = (rest + text).split('\n');
		rest = lines.pop();
		for (const line of lines) {
			const m = JSON.parse(line);
			try {
				send({ id: m.id, ok: ops[m.op](m) });
			} catch (e) {
				send({ id: m.id, error: { code: e.code ?? -5, message: e.message } });
			}
		}
	});
	connection.on('error', () => {});
	connection.on('close', () => guest?.end());
}

try {
	unlinkSync(socket);
} catch {}
createServer(serve).listen(socket, () => {
	chmodSync(socket, 0o600);
	note({ ready: true });
});
process.on('SIGTERM', () => process.exit(0));
