#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// A second reader of the image store, written from docs/store-format.md alone.
//
//     store_reader.mjs REGION ROOT SIZE OUT   write the disk with this root name and size to OUT,
//                                             print its digest
//     store_reader.mjs REGION                 prove every frame: print how many packs and frames
//     store_reader.mjs --keys FILE ...        the same of an encrypted region
//
// Uses no code of kiln and no lookup: it reads the packs' trailers.
import { spawnSync } from 'node:child_process';
import { createDecipheriv, createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';

const CHUNK = 65536, FAN = 512, NAME = 32, NODE = FAN * NAME;
const TAG = 16, INDEX = 0xffffffff;
const HEAD = 128, ENTRY = 48, FOOT = 64, CHANGE = 34, MAX_DEPTH = 6;
const KIND_CHUNK = 0, KIND_NODE = 1;
const PLAIN = 0, ZSTD = 1, DELTA = 2;
const ZERO = '00'.repeat(NAME);
const BATCH = 1024; // frames decoded by one zstd: at most 64 MiB of plain bytes

function need(ok, what) {
	if (!ok)
		throw new Error(what);
}

function hash(...parts) {
	const h = createHash('sha256');
	for (const p of parts)
		h.update(p);
	return h.digest();
}

const keyId = (key) => hash('kiln-key\0', key).subarray(0, 16).toString('hex');

// AES-256-GCM with the tag at the end.
function decrypt(key, nonce, aad, sealed, what) {
	const d = createDecipheriv('aes-256-gcm', key, nonce), end = sealed.length - TAG;
	need(end >= 0, `${what}: too short`);
	d.setAAD(aad);
	d.setAuthTag(sealed.subarray(end));
	try {
		return Buffer.concat([d.update(sealed.subarray(0, end)), d.final()]);
	} catch {
		throw new Error(`${what}: does not decrypt`);
	}
}

function frameNonce(index) {
	const nonce = Buffer.alloc(12);
	nonce.writeUInt32LE(index);
	return nonce;
}

const zeros = (buf) => buf.every((b) => b === 0);
const hexAt = (buf, at, n = NAME) => buf.toString('hex', at, at + n);

function* batches(list) {
	for (let i = 0; i < list.length; i += BATCH)
		yield list.slice(i, i + BATCH);
}

function readAt(fd, at, n) {
	const buf = Buffer.alloc(n);
	let have = 0;
	while (have < n) {
		const got = fs.readSync(fd, buf, have, n - have, at + have);
		need(got > 0, `file ends at ${at + have}`);
		have += got;
	}
	return buf;
}

// Decodes frames that each hold `size` bytes by one process: zstd takes them one after another.
function unzstd(frames, size) {
	if (frames.length === 0)
		return [];
	for (const f of frames) {
		need(f.length > 5 && f.readUInt32LE(0) === 0xfd2fb528, 'no zstd frame');
		need((f[4] & 0x07) === 0, 'zstd frame with a checksum or a dictionary');
	}
	const want = frames.length * size;
	const input = Buffer.concat(frames);
	const r = spawnSync('zstd', ['-dcq'], { input, maxBuffer: want + 1 });
	need(!r.error && r.status === 0, `zstd: ${r.error ?? r.stderr}`);
	need(r.stdout.length === want, `zstd: ${r.stdout.length} bytes, expected ${want}`);
	return frames.map((_, i) => r.stdout.subarray(i * size, (i + 1) * size));
}

// The frames' bytes, zstd decoded, deltas as they are stored.
function load(frames, size) {
	const out = frames.map((f) => f.read());
	const packed = [...frames.keys()].filter((i) => frames[i].enc === ZSTD);
	unzstd(packed.map((i) => out[i]), size).forEach((plain, k) => { out[packed[k]] = plain; });
	return out;
}

function loadChunks(frames) {
	return load(frames, CHUNK).map((data, i) => {
		const { name, pack } = frames[i];
		const ok = data.length === CHUNK && hash(data).toString('hex') === name;
		need(ok, `${pack}: chunk ${name}`);
		return data;
	});
}

// Applies a stored delta to its base's 512 names.
function applyDelta(frame, delta, base) {
	const node = Buffer.from(base);
	let last = -1;
	for (let at = 36; at < delta.length; at += CHANGE) {
		const index = delta.readUInt16LE(at);
		need(index > last && index < FAN, `${frame.pack}: changes of ${frame.name}`);
		delta.copy(node, index * NAME, at + 2, at + CHANGE);
		last = index;
	}
	return node;
}

function checkDelta(frame, delta) {
	const n = delta.length > 36 ? delta.readUInt16LE(34) : 0;
	const ok = n >= 1 && n <= FAN && delta.length === 36 + CHANGE * n && delta[33] === 0 &&
		delta[32] >= 1 && delta[32] <= MAX_DEPTH && hexAt(delta, 0) !== ZERO;
	need(ok, `${frame.pack}: delta ${frame.name}`);
}

// Adds the node's children that are not zero and where they are, from where the node is.
function addChildren(below, node, places) {
	for (let i = 0; i < FAN; i++) {
		const name = hexAt(node, i * NAME);
		if (name === ZERO)
			continue;
		if (!below.has(name))
			below.set(name, []);
		for (const at of places)
			below.get(name).push(at * FAN + i);
	}
}

class Region {
	constructor(dir, keys) {
		this.keys = keys;
		this.found = new Map(); // kind, level and name: the frame to read
		this.all = [];
		this.packs = 0;
		const format = fs.readFileSync(path.join(dir, 'format'), 'utf8');
		need(format === 'kiln-region 1\n', 'unknown region format');
		const packs = path.join(dir, 'packs');
		for (const sub of fs.readdirSync(packs).sort())
			for (const file of fs.readdirSync(path.join(packs, sub)).sort())
				this.addPack(path.join(packs, sub, file));
	}

	addPack(pack) {
		const fd = fs.openSync(pack, 'r'), size = fs.fstatSync(fd).size;
		need(size > HEAD + ENTRY + FOOT, `${pack}: size`);
		const head = readAt(fd, 0, HEAD), foot = readAt(fd, size - FOOT, FOOT);
		const id = hexAt(head, 16, 16);
		need(head.toString('latin1', 0, 8) === 'KILNPACK', `${pack}: magic`);
		const version = head.readUInt32LE(8), sealed = version === 2, tag = sealed ? TAG : 0;
		need(version === 1 || sealed, `${pack}: version`);
		need(head.readUInt32LE(12) === (sealed ? 1 : 0), `${pack}: flags`);
		need(zeros(head.subarray(sealed ? 109 : 32, 108)) && zeros(head.subarray(109)), `${pack}: header has more than zeros`);
		need(sealed === (this.keys.size > 0), `${pack}: plain and encrypted packs in one region`);
		need(path.basename(pack) === `${id}.pack`, `${pack}: id`);
		need(path.basename(path.dirname(pack)) === id.slice(0, 2), `${pack}: folder`);
		const count = foot.readUInt32LE(12), start = Number(foot.readBigUInt64LE(16));
		need(foot.toString('latin1', 0, 8) === 'KILNTRLR', `${pack}: footer`);
		need(foot.readUInt32LE(8) === version, `${pack}: version of the footer`);
		need(count >= 1 && start === size - FOOT - tag - ENTRY * count, `${pack}: count`);
		need(zeros(foot.subarray(24, 32)), `${pack}: footer has more than zeros at 24`);
		let entries = readAt(fd, start, ENTRY * count + tag);
		const sum = hash(head, hash(entries), foot.subarray(0, 32));
		need(sum.equals(foot.subarray(32)), `${pack}: checksum`);
		const crypt = sealed ? this.openPack(pack, head) : null;
		if (sealed) {
			const aad = Buffer.concat([crypt.id, Buffer.alloc(36)]);
			entries = decrypt(crypt.key, frameNonce(INDEX), aad, entries, `${pack}: entries`);
		}
		let at = HEAD;
		for (let i = 0; i < entries.length; i += ENTRY)
			at += this.addEntry(pack, fd, entries.subarray(i, i + ENTRY), at, i / ENTRY, crypt);
		need(at === start, `${pack}: gap`);
		this.packs++;
	}

	// The data key of an encrypted pack.
	openPack(pack, head) {
		const id = head.subarray(16, 32), kek = this.keys.get(hexAt(head, 32, 16));
		need(kek, `${pack}: no key ${hexAt(head, 32, 16)}`);
		const aad = Buffer.concat([Buffer.from('kiln-wrap\0'), id, head.subarray(32, 48)]);
		return { id, key: decrypt(kek, head.subarray(48, 60), aad, head.subarray(60, 108), pack) };
	}

	addEntry(pack, fd, e, at, index, crypt) {
		const f = { pack, fd, name: hexAt(e, 0), off: at, depth: 0 };
		f.length = e.readUInt32LE(40);
		[f.kind, f.enc, f.level] = e.subarray(44, 47);
		const known = f.kind === KIND_NODE ? f.enc <= DELTA && f.level <= 4 :
			f.kind === KIND_CHUNK && f.enc <= ZSTD && f.level === 0;
		const fits = f.length >= 1 && f.length <= 65552 && e[47] === 0;
		const ok = known && fits && e.readBigUInt64LE(32) === BigInt(at);
		need(ok, `${pack}: entry of the frame at ${at}`);
		f.read = () => readAt(fd, at, f.length);
		if (crypt) {
			const aad = Buffer.concat([crypt.id, e.subarray(0, 32), e.subarray(44, 47), Buffer.alloc(1)]);
			const raw = f.read;
			f.read = () => decrypt(crypt.key, frameNonce(index), aad, raw(), `${pack}: frame ${index}`);
		}
		if (f.enc === DELTA) {
			const delta = f.read();
			need(delta.length > 36, `${pack}: delta at ${at}`);
			f.depth = delta[32];
		}
		// Of several copies the one of least depth suits every delta above it.
		const key = `${f.kind} ${f.level} ${f.name}`, other = this.found.get(key);
		if (!other || f.depth < other.depth)
			this.found.set(key, f);
		this.all.push(f);
		return f.length;
	}

	frame(kind, level, name) {
		const f = this.found.get(`${kind} ${level} ${name}`);
		need(f, `no pack has frame ${name} of kind ${kind}, level ${level}`);
		return f;
	}

	// The 16,384 bytes of each of these nodes of one level: one zstd for each step of deltas.
	loadNodes(frames, level) {
		const stored = new Map(), done = new Map();
		for (let step = frames; step.length > 0;) {
			const bases = new Set();
			load(step, NODE).forEach((data, i) => {
				stored.set(step[i], data);
				if (step[i].enc !== DELTA)
					return;
				checkDelta(step[i], data);
				bases.add(this.frame(KIND_NODE, level, hexAt(data, 0)));
			});
			step = [...bases].filter((f) => !stored.has(f));
		}
		const build = (f, left) => {
			need(f.depth <= left, `${f.pack}: depth of ${f.name}`);
			if (done.has(f))
				return done.get(f);
			let data = stored.get(f);
			if (f.enc === DELTA) {
				const base = this.frame(KIND_NODE, level, hexAt(data, 0));
				data = applyDelta(f, data, build(base, f.depth - 1));
			}
			const sum = hash('kiln-node\0', Buffer.from([1, level]), data);
			const ok = data.length === NODE && sum.toString('hex') === f.name;
			need(ok, `${f.pack}: node ${f.name}`);
			done.set(f, data);
			return data;
		};
		return frames.map((f) => build(f, MAX_DEPTH));
	}

	// Chunk name: indices of the disk where it is. What is zero is left out.
	chunksOf(root, size) {
		let level = 0;
		while (FAN ** (level + 1) * CHUNK < size)
			level++;
		let names = new Map(root === ZERO ? [] : [[root, [0]]]);
		for (; level >= 0; level--) {
			const below = new Map();
			for (const part of batches([...names.keys()])) {
				const frames = part.map((n) => this.frame(KIND_NODE, level, n));
				this.loadNodes(frames, level).forEach((node, k) => {
					addChildren(below, node, names.get(part[k]));
				});
			}
			names = below;
		}
		return names;
	}

	prove() {
		for (const part of batches(this.all.filter((f) => f.kind === KIND_CHUNK)))
			loadChunks(part);
		const nodes = this.all.filter((f) => f.kind === KIND_NODE);
		for (let level = 0; level <= 4; level++)
			for (const part of batches(nodes.filter((f) => f.level === level)))
				this.loadNodes(part, level);
	}

	write(root, size, file) {
		const chunks = this.chunksOf(root, size), fd = fs.openSync(file, 'w');
		fs.ftruncateSync(fd, size);
		for (const part of batches([...chunks.keys()])) {
			const frames = part.map((name) => this.frame(KIND_CHUNK, 0, name));
			loadChunks(frames).forEach((data, i) => {
				for (const index of chunks.get(part[i])) {
					const n = Math.min(CHUNK, size - index * CHUNK);
					const ends = n > 0 && zeros(data.subarray(n));
					need(ends, `chunk ${index}: past the end`);
					const put = fs.writeSync(fd, data, 0, n, index * CHUNK);
					need(put === n, `${file}: short write`);
				}
			});
		}
		fs.closeSync(fd);
	}
}

function diskDigest(root, size) {
	const numbers = Buffer.alloc(12);
	numbers.writeBigUInt64LE(BigInt(size), 0);
	numbers.writeUInt32LE(CHUNK, 8);
	const parts = [Buffer.from([1]), numbers, Buffer.from(root, 'hex')];
	return hash('kiln-disk\0', ...parts).toString('hex');
}

// One key a line, 64 hex digits.
function readKeys(file) {
	const lines = fs.readFileSync(file, 'utf8').split('\n').filter((l) => l !== '');
	need(lines.every((l) => /^[0-9a-f]{64}$/.test(l)), `${file}: keys`);
	return new Map(lines.map((l) => Buffer.from(l, 'hex')).map((k) => [keyId(k), k]));
}

function main(args) {
	const keys = args[0] === '--keys' ? readKeys(args[1]) : new Map();
	if (args[0] === '--keys')
		args = args.slice(2);
	need([1, 4].includes(args.length), 'usage: store_reader.mjs REGION [ROOT SIZE OUT]');
	const region = new Region(args[0], keys);
	if (args.length === 1) {
		region.prove();
		console.log(`${region.packs} packs, ${region.all.length} frames`);
		return;
	}
	const root = args[1].replace(/^sha256:/, ''), size = Number(args[2]);
	need(/^[0-9a-f]{64}$/.test(root), `root name ${args[1]}`);
	need(Number.isSafeInteger(size) && size >= 0 && size % 512 === 0, `size ${args[2]}`);
	region.write(root, size, args[3]);
	console.log(diskDigest(root, size));
}

try {
	main(process.argv.slice(2));
} catch (e) {
	console.error(`store_reader: ${e.message}`);
	process.exitCode = 1;
}
