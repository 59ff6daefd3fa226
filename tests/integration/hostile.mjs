// Attacks on a running server. Usage: hostile.mjs slow|rest URL CA API-SOCKET PID SUBSCRIPTION [TOKEN]
// Prints one "ok NAME" or "not ok NAME" line a test. For "slow" the server has short limits of time.
import fs from "node:fs";
import http from "node:http";
import net from "node:net";
import tls from "node:tls";

const [part, base, caFile, api, pid, sub, token] = process.argv.slice(2);
const { hostname: host, port } = new URL(base);
const ca = fs.readFileSync(caFile);
const VERSION = "api-version=2023-07-03";

function connect() {
	const s = tls.connect({ host, port, ca, servername: "localhost" });
	s.on("error", () => {});
	return s;
}

// Sends bytes, then waits until the server closes, or until @done says that enough has come.
function send(bytes, { done = () => false, half = false, ms = 20000 } = {}) {
	return new Promise(resolve => {
		const s = connect();
		let text = "", closed = true; // by the server, in whatever way
		const timer = setTimeout(() => { closed = false; s.destroy(); }, ms);
		s.on("secureConnect", () => half ? s.end(Buffer.from(bytes, "latin1")) : s.write(Buffer.from(bytes, "latin1")));
		s.on("data", d => {
			text += d.toString("latin1");
			if (done(text)) {
				closed = false;
				s.destroy();
			}
		});
		s.on("close", () => {
			clearTimeout(timer);
			resolve({ text, closed, statuses: [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(m => +m[1]) });
		});
	});
}

async function healthy() {
	const r = await send("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
	return r.statuses[0] === 200;
}
const status = field => {
	const m = fs.readFileSync(`/proc/${pid}/status`, "utf8").match(new RegExp(`^${field}:\\s+(\\d+)`, "m"));
	return m ? +m[1] : 0;
};
const rss = () => status("VmRSS"); // KiB
function local(method, path, body, headers = {}) {
	return new Promise((resolve, reject) => {
		const r = http.request({ socketPath: api, method, path, agent: false,
			headers: { "content-type": "application/json", ...headers } }, res => {
			let text = "";
			res.on("data", d => { text += d; });
			res.on("end", () => resolve({ status: res.statusCode, text }));
		});
		r.on("error", e => resolve({ status: 0, text: String(e) }));
		r.end(body);
	});
}
async function metric(name) {
	const { text } = await local("GET", "/metrics");
	const m = text.match(new RegExp(`^${name} (\\d+)$`, "m"));
	return m ? +m[1] : -1;
}

async function test(name, fn) {
	let why;
	try {
		why = await fn();
	} catch (e) {
		why = e.stack;
	}
	if (why === undefined && !await healthy()) {
		why = "the server does not answer others";
	}
	if (why !== undefined) {
		console.log(`  | ${String(why).slice(0, 2000).replaceAll("\n", "\n  | ")}`);
	}
	console.log(`${why === undefined ? "ok" : "not ok"} ${name}`);
}

// ---- Framing -----------------------------------------------------------------------------------

const H = "Host: localhost\r\n";
const NEXT = `GET /healthz HTTP/1.1\r\n${H}\r\n`; // must never be taken for a request of its own
const CHUNKED = `POST /adfs/oauth2/token HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n`;
const shapes = {
	"Content-Length and Transfer-Encoding": `POST /x HTTP/1.1\r\n${H}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
	"Transfer-Encoding and Content-Length": `POST /x HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`,
	"two equal Content-Lengths": `POST /x HTTP/1.1\r\n${H}Content-Length: 2\r\nContent-Length: 2\r\n\r\nab`,
	"two Content-Lengths": `POST /x HTTP/1.1\r\n${H}Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc`,
	"a list of Content-Lengths": `POST /x HTTP/1.1\r\n${H}Content-Length: 2, 2\r\n\r\nab`,
	"signed Content-Length": `POST /x HTTP/1.1\r\n${H}Content-Length: +2\r\n\r\nab`,
	"negative Content-Length": `POST /x HTTP/1.1\r\n${H}Content-Length: -1\r\n\r\n`,
	"hexadecimal Content-Length": `POST /x HTTP/1.1\r\n${H}Content-Length: 0x2\r\n\r\nab`,
	"empty Content-Length": `POST /x HTTP/1.1\r\n${H}Content-Length:\r\n\r\n`,
	"overflowing Content-Length": `POST /x HTTP/1.1\r\n${H}Content-Length: 18446744073709551618\r\n\r\nab`,
	"two Hosts": `GET /x HTTP/1.1\r\n${H}Host: evil\r\n\r\n`,
	"two equal Hosts": `GET /x HTTP/1.1\r\n${H}${H}\r\n`,
	"no Host": "GET /x HTTP/1.1\r\n\r\n",
	"a Host with a path": "GET /x HTTP/1.1\r\nHost: localhost/x\r\n\r\n",
	"a Host with a user": "GET /x HTTP/1.1\r\nHost: a@localhost\r\n\r\n",
	"space before the colon": `POST /x HTTP/1.1\r\n${H}Content-Length : 2\r\n\r\nab`,
	"tab before the colon": `POST /x HTTP/1.1\r\n${H}Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n`,
	"gzip, chunked": `POST /x HTTP/1.1\r\n${H}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
	"chunked, identity": `POST /x HTTP/1.1\r\n${H}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`,
	"identity": `POST /x HTTP/1.1\r\n${H}Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nab`,
	"xchunked": `POST /x HTTP/1.1\r\n${H}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`,
	"VT chunked": `POST /x HTTP/1.1\r\n${H}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n`,
	"two Transfer-Encodings": `POST /x HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n`,
	"chunked in HTTP/1.0": `POST /x HTTP/1.0\r\n${H}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
	"a folded Transfer-Encoding": `POST /x HTTP/1.1\r\n${H}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n`,
	"a folded header": `GET /x HTTP/1.1\r\n${H}X-A: b\r\n Content-Length: 5\r\n\r\n`,
	"a first header that is folded": `GET /x HTTP/1.1\r\n ${H}\r\n`,
	"LF alone in the head": `GET /x HTTP/1.1\nHost: localhost\n\n`,
	"LF alone behind a header": `POST /x HTTP/1.1\r\n${H}X-A: b\nContent-Length: 5\r\n\r\n`,
	"CR alone in a value": `POST /x HTTP/1.1\r\n${H}X-A: b\rContent-Length: 5\r\n\r\n`,
	"CR alone before the end": `GET /x HTTP/1.1\r\n${H}\rX: y\r\n\r\n`,
	"NUL in a name": `GET /x HTTP/1.1\r\n${H}X\0A: b\r\n\r\n`,
	"NUL in a value": `GET /x HTTP/1.1\r\n${H}X-A: b\0c\r\n\r\n`,
	"NUL behind chunked": `POST /x HTTP/1.1\r\n${H}Transfer-Encoding: chunked\0x\r\n\r\n0\r\n\r\n`,
	"NUL in the target": `GET /x\0y HTTP/1.1\r\n${H}\r\n`,
	"a header without a colon": `GET /x HTTP/1.1\r\n${H}Blah\r\n\r\n`,
	"a header without a name": `GET /x HTTP/1.1\r\n${H}: x\r\n\r\n`,
	"a chunk extension": `${CHUNKED}2;a=b\r\nab\r\n0\r\n\r\n`,
	"LF in a chunk extension": `${CHUNKED}2;a\nab\r\n0\r\n\r\n`,
	"LF alone in chunks": `${CHUNKED}2\nab\n0\n\n`,
	"space behind a chunk's size": `${CHUNKED}2 \r\nab\r\n0\r\n\r\n`,
	"0x before a chunk's size": `${CHUNKED}0x2\r\nab\r\n0\r\n\r\n`,
	"a signed chunk size": `${CHUNKED}+2\r\nab\r\n0\r\n\r\n`,
	"a negative chunk size": `${CHUNKED}-1\r\nab\r\n0\r\n\r\n`,
	"an overflowing chunk size": `${CHUNKED}10000000000000002\r\nab\r\n0\r\n\r\n`,
	"a chunk that does not end": `${CHUNKED}2\r\nabXX0\r\n\r\n`,
	"an empty chunk size": `${CHUNKED}\r\nab\r\n0\r\n\r\n`,
	"a trailer with a length": `${CHUNKED}2\r\nab\r\n0\r\nContent-Length: 3\r\n\r\n`,
	"a trailer with a host": `${CHUNKED}2\r\nab\r\n0\r\nHost: evil\r\n\r\n`,
	"HTTP/0.9": "GET /healthz\r\n\r\n",
	"HTTP/1.2": `GET /x HTTP/1.2\r\n${H}\r\n`,
	"HTTP/2.0": `GET /x HTTP/2.0\r\n${H}\r\n`,
	"HTTP/2's preface": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	"two spaces before the target": `GET  /healthz HTTP/1.1\r\n${H}\r\n`,
	"a space in the target": `GET /health z HTTP/1.1\r\n${H}\r\n`,
	"tabs in the request line": `GET\t/healthz\tHTTP/1.1\r\n${H}\r\n`,
	"bytes above 0x7f in the target": `GET /\xff HTTP/1.1\r\n${H}\r\n`,
	"another host's absolute target": `GET https://evil/healthz HTTP/1.1\r\n${H}\r\n`,
	"a plain absolute target": `GET http://localhost/healthz HTTP/1.1\r\n${H}\r\n`,
	"CONNECT": `CONNECT a:443 HTTP/1.1\r\n${H}\r\n`,
	"OPTIONS *": `OPTIONS * HTTP/1.1\r\n${H}\r\n`,
	"an encoded slash": `GET /subscriptions%2Fx HTTP/1.1\r\n${H}\r\n`,
	"an encoded NUL": `GET /subscriptions/x%00 HTTP/1.1\r\n${H}\r\n`,
	"a backslash": `GET /subscriptions\\x HTTP/1.1\r\n${H}\r\n`,
	"many empty lines first": `\r\n\r\n\r\n${NEXT}`,
	"a small method": `get /healthz HTTP/1.1\r\n${H}\r\n`,
	"a TLS record inside TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
};

async function smuggling() {
	const wrong = [];
	for (const [name, bytes] of Object.entries(shapes)) {
		const r = await send(bytes + NEXT);
		if (!r.closed || r.statuses.length < 1 || r.statuses.some(s => s !== 400) || r.text.includes('"status":"ok"')) {
			wrong.push(`${name}: ${r.statuses.join(" ")}${r.closed ? "" : " (open)"}`);
		}
	}
	return wrong.length ? wrong.join("\n") : undefined;
}

// What was asked before the wrong bytes is answered first, in order, and only then 400.
async function order() {
	for (const bad of [shapes["NUL in a value"], shapes["two Hosts"], shapes["LF alone in chunks"], shapes["HTTP/0.9"]]) {
		const r = await send(NEXT + NEXT + bad + NEXT);
		if (r.statuses.join(" ") !== "200 200 400" || !r.closed) {
			return `${r.statuses.join(" ")}: ${bad}`;
		}
	}
}

async function pieces() {
	const s = connect();
	let text = "";
	s.on("data", d => { text += d; });
	const done = new Promise(resolve => s.on("close", resolve));
	const bytes = NEXT + `POST /x HTTP/1.1\r\n${H}Content-Length: 2\r\nContent-Length: 2\r\n\r\nab`;
	for (const c of bytes) {
		s.write(c);
		await new Promise(resolve => setImmediate(resolve));
	}
	await done;
	const statuses = [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(m => +m[1]);
	return statuses.join(" ") === "200 400" ? undefined : statuses.join(" ");
}

async function pipelining() {
	const n = 1000;
	const r = await send(NEXT.repeat(n), { done: t => (t.match(/"status":"ok"/g) ?? []).length >= n });
	return r.statuses.length === n && r.statuses.every(s => s === 200) ? undefined : `${r.statuses.length} answers`;
}

// ---- Sizes -------------------------------------------------------------------------------------

async function sizes() {
	const wrong = [];
	const want = async (name, bytes, ...statuses) => {
		const r = await send(bytes);
		if (!r.closed || !statuses.includes(r.statuses[0])) {
			wrong.push(`${name}: ${r.statuses.join(" ")}${r.closed ? "" : " (open)"}`);
		}
	};
	await want("long target", `GET /${"a".repeat(9000)} HTTP/1.1\r\n${H}\r\n`, 414);
	await want("longer target", `GET /${"a".repeat(200000)} HTTP/1.1\r\n${H}\r\n`, 400, 413, 414, 431);
	await want("101 headers", `GET /x HTTP/1.1\r\n${H}${"X-A: b\r\n".repeat(100)}\r\n`, 431);
	await want("large headers", `GET /x HTTP/1.1\r\n${H}X-A: ${"b".repeat(17000)}\r\n\r\n`, 431);
	await want("10000 headers", `GET /x HTTP/1.1\r\n${H}${"X-A: b\r\n".repeat(10000)}\r\n`, 413, 431);
	await want("endless header", `GET /x HTTP/1.1\r\n${H}X-A: ${"b".repeat(1 << 20)}\r\n\r\n`, 413, 431);
	await want("long method", `${"A".repeat(100)} /x HTTP/1.1\r\n${H}\r\n`, 400);
	await want("body of 5 MB", `POST /adfs/oauth2/token HTTP/1.1\r\n${H}Content-Length: 5000000\r\n\r\n`, 413);
	await want("body of 8 EB", `POST /adfs/oauth2/token HTTP/1.1\r\n${H}Content-Length: 9000000000000000000\r\n\r\n`, 413);
	await want("expectation", `POST /adfs/oauth2/token HTTP/1.1\r\n${H}Expect: more\r\nContent-Length: 2\r\n\r\n`, 417);
	const chunk = `10000\r\n${"x".repeat(65536)}\r\n`;
	const r = await send(`POST /adfs/oauth2/token HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(200)}0\r\n\r\n`);
	if (r.statuses.some(s => s !== 413)) {
		wrong.push(`endless chunks: ${r.statuses.join(" ")}`);
	}
	return wrong.length ? wrong.join("\n") : undefined;
}

// 4xx for every id that is none, without a trace of what it was.
async function ids() {
	const rg = `${sub}/resourceGroups`;
	const bad = [
		`${rg}/${"a".repeat(91)}`, `${rg}/${"a".repeat(2100)}`, `${rg}/a%0Ab`, `${rg}/..`, `${rg}/%2e%2e`, `${rg}//x`,
		`${rg}/a%E2%80%AEb`, `${rg}/%ff%fe`, `${rg}/x/providers/${"Microsoft.Compute/".repeat(60)}`,
		`/subscriptions/${"0".repeat(4000)}`, `${rg}/x/providers/Microsoft.Compute/galleries/${"a/b/".repeat(40)}c`,
		`${rg}/%`, `${rg}/%zz`, `${rg}/a%`, `/${"/".repeat(500)}`, `${rg}/<script>`.replaceAll("<", "%3C"),
	];
	for (const method of ["GET", "PUT", "DELETE"]) {
		for (const id of bad) {
			const r = await local(method, `${id}?${VERSION}`, method === "PUT" ? '{"location":"eastus"}' : undefined);
			if (r.status < 400 || r.status >= 500) {
				return `${method} ${id.slice(0, 100)}: ${r.status} ${r.text.slice(0, 200)}`;
			}
		}
	}
}

async function queries() {
	const bad = ["$top=-1", "$top=1e9", "$top=99999999999999999999", "$skiptoken=zz", `$skiptoken=${"00".repeat(3000)}`,
		"$filter=" + "(".repeat(3000), "$filter=" + encodeURIComponent("name eq '" + "x".repeat(5000)),
		"a=1&".repeat(100), `${VERSION}&${VERSION}`, "x=%00", "x=%ff"];
	for (const q of bad) {
		const r = await local("GET", `${sub}/resourceGroups?${VERSION}&${q}`);
		if (r.status >= 500 || r.status === 0) {
			return `${q.slice(0, 80)}: ${r.status} ${r.text.slice(0, 200)}`;
		}
	}
}

// ---- Bodies ------------------------------------------------------------------------------------

async function bombs() {
	const path = `${sub}/resourceGroups/bomb?api-version=2021-04-01`;
	const mb = 4 << 20;
	const bodies = {
		"deep arrays": "[".repeat(mb), "closed deep arrays": "[".repeat(mb / 2) + "]".repeat(mb / 2),
		"deep objects": '{"a":'.repeat(mb / 8), "65 levels": '{"a":'.repeat(65) + "1" + "}".repeat(65),
		"many keys": `{${Array.from({ length: 200000 }, (_, i) => `"k${i}":1`).join(",")}}`,
		"the same key": `{${'"a":1,'.repeat(400000)}"a":1}`,
		"long number": `{"a":${"9".repeat(mb - 10)}}`, "huge exponent": '{"location":1e999999999}',
		"long text": `{"location":"${"x".repeat(mb - 100)}"}`, "NUL": '{"location":"\\u0000"}', "half a surrogate": '{"location":"\\ud800"}',
		"bad UTF-8": Buffer.from('{"location":"\xff"}', "latin1"), "text behind": '{"location":"eastus"}x', "nothing": "", "a BOM": "\ufeff{}",
		"many tags": `{"location":"eastus","tags":{${Array.from({ length: 100000 }, (_, i) => `"t${i}":"v"`).join(",")}}}`,
	};
	const many = () => Promise.all(Array.from({ length: 12 }, () => local("PUT", path, bodies["many keys"])));
	for (const [name, body] of Object.entries(bodies)) {
		const r = await local("PUT", path, body);
		if (r.status < 400 || r.status >= 500) {
			return `${name}: ${r.status} ${r.text.slice(0, 200)}`;
		}
	}
	await many();
	const before = rss();
	await many();
	await many();
	return rss() - before < LEAK_KB && before < 1 << 19 ? undefined : `${before} KiB, then ${rss()} KiB`;
}

// ---- Time --------------------------------------------------------------------------------------

// Drips a byte every 100 ms; the server must hang up although bytes keep coming.
function drip(first, ms) {
	return new Promise(resolve => {
		const s = connect(), start = Date.now();
		let text = "";
		const timer = setInterval(() => s.write("x"), 100);
		const stop = setTimeout(() => s.destroy(), ms);
		s.on("secureConnect", () => first && s.write(first));
		s.on("data", d => { text += d; });
		s.on("close", () => {
			clearInterval(timer);
			clearTimeout(stop);
			resolve({ ms: Date.now() - start, text });
		});
	});
}
async function slow() {
	const late = await metric("kiln_connections_late_total");
	const all = await Promise.all([
		drip(`GET /x HTTP/1.1\r\n${H}X-A: `, 60000),
		drip("GET /", 60000),
		drip(`POST /adfs/oauth2/token HTTP/1.1\r\n${H}Content-Length: 9000\r\n\r\n`, 60000),
		new Promise(resolve => { // never even shakes hands
			const s = net.connect(port, host), start = Date.now();
			s.on("close", () => resolve({ ms: Date.now() - start }));
			s.on("error", () => {});
			setTimeout(() => s.destroy(), 60000).unref();
		}),
		new Promise(resolve => { // shakes hands, says nothing
			const s = connect(), start = Date.now();
			s.on("close", () => resolve({ ms: Date.now() - start }));
			s.on("data", () => {});
			setTimeout(() => s.destroy(), 60000).unref();
		}),
		new Promise(resolve => { // asks for much and reads nothing
			const s = net.connect(port, host);
			s.on("error", () => {});
			s.on("close", () => resolve({ ms: 0 }));
			s.write("\x16\x03\x01");
			setTimeout(() => s.destroy(), 60000).unref();
		}),
	]);
	const open = all.filter(r => r.ms >= 60000);
	if (open.length || await metric("kiln_connections_late_total") < late + 5) {
		return `still open after a minute: ${open.length}`;
	}
}

// ---- Many --------------------------------------------------------------------------------------

const LEAK_KB = 24 << 10;

async function idle() {
	const n = 5000, sockets = [], before = rss();
	let failed = 0;
	for (let i = 0; i < n; i += 50) {
		await Promise.all(Array.from({ length: 50 }, () => new Promise(resolve => {
			const s = tls.connect({ host, port, ca, servername: "localhost" });
			sockets.push(s);
			s.on("secureConnect", resolve);
			s.on("error", () => { failed++; resolve(); });
			s.on("data", () => {});
		})));
	}
	const open = sockets.filter(s => !s.destroyed).length, during = rss();
	// others are served meanwhile, over new connections and old ones
	for (let i = 0; i < 20; i++) {
		if (!await healthy()) {
			return "others are not served";
		}
	}
	const count = await metric("kiln_connections");
	sockets.forEach(s => s.destroy());
	while (await metric("kiln_connections") > 5) {
		await new Promise(resolve => setTimeout(resolve, 50));
	}
	console.log(`  | ${open} open, ${failed} failed, ${((during - before) / open).toFixed(0)} KiB each`);
	if (count < n * 0.95) {
		return `${count} of ${n} connections`;
	}
	return during - before < 1 << 20 ? undefined : `${during - before} KiB for them`;
}

// Connections that end in the middle of everything leave nothing behind.
async function broken() {
	const cut = bytes => new Promise(resolve => {
		const s = connect();
		s.on("close", resolve);
		s.on("secureConnect", () => s.write(bytes, () => s.destroy()));
	});
	const cuts = ["GET /hea", `GET /healthz HTTP/1.1\r\n${H}`, NEXT, NEXT.repeat(20),
		`POST /adfs/oauth2/token HTTP/1.1\r\n${H}Content-Length: 4000000\r\n\r\nabc`, CHUNKED + "ff\r\nab"];
	for (let i = 0; i < 100; i++) {
		await Promise.all(cuts.map(cut));
	}
	await Promise.all(Array.from({ length: 200 }, () => new Promise(resolve => {
		const s = net.connect(port, host, () => s.resetAndDestroy());
		s.on("close", resolve);
		s.on("error", () => {});
	})));
	for (let i = 0; i < 100 && (await metric("kiln_body_bytes") > 0 || await metric("kiln_connections") > 5); i++) {
		await new Promise(resolve => setTimeout(resolve, 100));
	}
	const bytes = await metric("kiln_body_bytes"), open = await metric("kiln_connections");
	return bytes === 0 && open <= 5 ? undefined : `${bytes} bytes of bodies, ${open} connections are left`;
}

// More large bodies at once than the budget has room for: refused, not kept.
async function budget() {
	const n = 100;
	const all = await Promise.all(Array.from({ length: n }, () =>
		send(`POST /adfs/oauth2/token HTTP/1.1\r\n${H}Content-Length: 4000000\r\n\r\n`, { ms: 1500 })));
	const refused = all.filter(r => r.statuses[0] === 503 || r.statuses[0] === 413).length;
	return refused > 0 ? undefined : "none was refused";
}

async function leaks() {
	const round = async () => {
		await smuggling();
		await broken();
		await sizes();
	};
	await round();
	const before = rss();
	await round();
	await round();
	return rss() - before < LEAK_KB ? undefined : `${rss() - before} KiB more after two rounds`;
}

// ---- Identity ----------------------------------------------------------------------------------

const b64 = x => Buffer.from(typeof x === "string" ? x : JSON.stringify(x)).toString("base64url");
async function ask(authorization, more = "") {
	const r = await send(`GET /subscriptions?api-version=2020-01-01 HTTP/1.1\r\n${H}Connection: close\r\n` +
		`${authorization === null ? "" : `Authorization: ${authorization}\r\n`}${more}\r\n`);
	return r.statuses[0];
}
async function forged() {
	const now = Math.floor(Date.now() / 1000);
	const [h, p, s] = token ? token.split(".") : [b64({ alg: "RS256", typ: "JWT" }), b64({ sub: "x" }), "AAAA"];
	const header = JSON.parse(Buffer.from(h, "base64url")), claims = JSON.parse(Buffer.from(p, "base64url"));
	const none = alg => `${b64({ ...header, alg })}.${p}.`;
	const bad = {
		"nothing": "", "Basic": "Basic YTpi", "empty": "Bearer ", "spaces": "Bearer   x", "two": `Bearer ${h}.${p}.${s} ${h}`,
		"none": `Bearer ${none("none")}`, "None": `Bearer ${none("None")}`, "nOnE with signature": `Bearer ${none("nOnE")}${s}`,
		"no signature": `Bearer ${h}.${p}.`, "no dot": `Bearer ${h}.${p}`, "five parts": `Bearer ${h}.${p}.${s}.${s}.${s}`,
		"HS256": `Bearer ${b64({ ...header, alg: "HS256" })}.${p}.${s}`,
		"other claims": `Bearer ${h}.${b64({ ...claims, exp: now + 999999 })}.${s}`,
		"another's oid": `Bearer ${h}.${b64({ ...claims, oid: "00000000-0000-0000-0000-000000000000" })}.${s}`,
		"cut signature": `Bearer ${h}.${p}.${s.slice(0, -4)}`, "changed signature": `Bearer ${h}.${p}.${s.slice(0, -6)}AAAAAA`,
		"unknown kid": `Bearer ${b64({ ...header, kid: "x" })}.${p}.${s}`, "no kid": `Bearer ${b64({ alg: header.alg })}.${p}.${s}`,
		"own key": `Bearer ${b64({ ...header, jwk: { kty: "oct", k: "AAAA" } })}.${p}.${s}`,
		"crit": `Bearer ${b64({ ...header, crit: ["x"] })}.${p}.${s}`, "not JSON": `Bearer ${b64("{")}.${p}.${s}`,
		"long": `Bearer ${h}.${"A".repeat(12000)}.${s}`, "percent": "Bearer %00", "no base64": "Bearer a.b!.c",
	};
	for (const [name, value] of Object.entries(bad)) {
		const status = await ask(value);
		if (status !== 401) {
			return `${name}: ${status}`;
		}
	}
	const proxied = await ask(null, "X-MS-CLIENT-PRINCIPAL-ID: root\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-User: root\r\n" +
		"Forwarded: for=127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\n");
	if (proxied !== 401) {
		return `headers of a proxy: ${proxied}`;
	}
	if (token && await ask(`Bearer ${token}`) !== 200) {
		return "the real token is refused";
	}
}

if (part === "slow") {
	await test("slow heads, bodies, handshakes", slow);
	process.exit(0);
}
await test("smuggling shapes are 400 and the end", smuggling);
await test("answers keep their order before it", order);
await test("a request in pieces of one byte", pieces);
await test("1000 pipelined requests", pipelining);
await test("sizes", sizes);
await test("ids that are none", ids);
await test("query options that are none", queries);
await test("JSON bombs", bombs);
await test("forged tokens", forged);
await test("cut connections", broken);
await test("more bodies than there is room for", budget);
await test("5000 idle connections", idle);
await test("nothing leaks", leaks);
