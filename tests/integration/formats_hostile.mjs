// Hostile disk images, one for each rule and variant. Usage: formats_hostile.mjs DIR
// Writes DIR/NNN-NAME and DIR/list: one line a file, "FILE<TAB>regular expression of the reason".
import fs from "node:fs";
import path from "node:path";
import zlib from "node:zlib";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";

const dir = process.argv[2];
const lines = [];
const KIB = 1024, MIB = 1 << 20, C = 65536;

const CUT = "cut off|not in the file|no known format|cannot be a VHD|grain directory|table of blocks";

function add(name, bytes, reason) {
	const file = `${String(lines.length).padStart(3, "0")}-${name}`;
	fs.writeFileSync(path.join(dir, file), bytes);
	lines.push(`${file}\t${reason || CUT}`);
}
const noise = (n, seed = 1) => {
	const b = Buffer.alloc(n);
	for (let i = 0, x = seed; i < n; i++) {
		x = (Math.imul(x, 1103515245) + 12345) >>> 0;
		b[i] = x >>> 16;
	}
	return b;
};

// ---- qcow2: header, refcount table, refcount block, L1, L2, three clusters ----
function qcow2(edit = () => {}, version = 3) {
	const b = Buffer.alloc(8 * C);
	b.write("QFI\xfb", 0, "latin1");
	b.writeUInt32BE(version, 4);
	b.writeUInt32BE(16, 20);
	b.writeBigUInt64BE(BigInt(16 * C), 24);
	b.writeUInt32BE(1, 36);
	b.writeBigUInt64BE(BigInt(3 * C), 40);
	b.writeBigUInt64BE(BigInt(C), 48);
	b.writeUInt32BE(1, 56);
	if (version === 3) {
		b.writeUInt32BE(4, 96);
		b.writeUInt32BE(104, 100);
	}
	b.writeBigUInt64BE(BigInt(2 * C), C);
	for (let i = 0; i < 8; i++) b.writeUInt16BE(1, 2 * C + 2 * i);
	b.writeBigUInt64BE((1n << 63n) | BigInt(4 * C), 3 * C);
	for (let i = 0; i < 3; i++) b.writeBigUInt64BE((1n << 63n) | BigInt((5 + i) * C), 4 * C + 8 * i);
	noise(3 * C).copy(b, 5 * C);
	edit(b);
	return b;
}
const u32 = (at, v) => (b) => b.writeUInt32BE(v >>> 0, at);
const u64 = (at, v) => (b) => b.writeBigUInt64BE(BigInt.asUintN(64, BigInt(v)), at);
const both = (...f) => (b) => f.forEach((g) => g(b));
function makeQcow2() {
	const q = (name, edit, reason, version) => add(`qcow2-${name}`, qcow2(edit, version), reason);
	for (const v of [0, 1, 4, 255, 0xffffffff]) q(`version-${v}`, u32(4, v), "version");
	q("backing", both(u64(8, 512), u32(16, 9), (b) => b.write("/etc/shadow", 512)), "backing file");
	q("backing-offset", u64(8, 4096), "backing file");
	q("backing-size", u32(16, 1), "backing file");
	q("backing-json", both(u64(8, 512), u32(16, 40), (b) => b.write('json:{"driver":"file","filename":"/x"}', 512)), "backing file");
	for (const v of [0, 1, 8, 22, 31, 32, 63, 0xffffffff]) q(`cluster-bits-${v}`, u32(20, v), "clusters of");
	for (const v of [1, 511, 1000, 16 * C + 1]) q(`size-${v}`, u64(24, v), "disk of");
	q("size-65t", u64(24, 65n << 40n), "disk of");
	q("size-8e", u64(24, (1n << 63n) - 512n), "disk of");
	q("size-16e", u64(24, (1n << 64n) - 512n), "disk of");
	for (const v of [1, 2, 3]) q(`crypt-${v}`, u32(32, v), "encrypted");
	for (const v of [1, 65536, 0xffffffff]) q(`snapshots-${v}`, u32(60, v), "snapshots");
	q("l1-none", u32(36, 0), "L1 table of 0");
	for (const v of [4194305, 0x7fffffff, 0xffffffff]) q(`l1-size-${v}`, u32(36, v), "L1 table of");
	q("l1-cut", u32(36, 1 << 20), "not in the file");
	for (const [n, v, why] of [["unaligned", 3 * C + 512, "start of a cluster"], ["end", 8 * C, "not in the file"],
		["overflow", -C, "not in the file"], ["header", 0, "overlaps"], ["reftable", C, "overlaps"], ["refblock", 2 * C, "overlaps"]])
		q(`l1-${n}`, u64(40, v), why);
	for (const [n, v, why] of [["unaligned", C + 8, "start of a cluster"], ["end", 8 * C, "not in the file"],
		["overflow", -C, "not in the file"], ["header", 0, "overlaps"], ["l1", 3 * C, "refcount block"], ["huge", 1n << 62n, "not in the file"]])
		q(`reftable-${n}`, u64(48, v), why);
	for (const [v, why] of [[0, "no refcount table"], [129, "refcount table of"], [0xffffffff, "refcount table of"], [8, ""]])
		q(`reftable-clusters-${v}`, u32(56, v), why);
	for (let bit = 0; bit < 64; bit++)
		if (bit !== 3) q(`incompatible-${bit}`, u64(72, 1n << BigInt(bit)), ["not closed", "corrupt", "another file", "", "extended L2"][bit] ?? "unknown incompatible");
	q("compression-bit", u64(72, 8), "disagree");
	q("compression-type", both(u32(100, 112), (b) => (b[104] = 1)), "disagree");
	for (const v of [2, 3, 255]) q(`compression-${v}`, both(u32(100, 112), u64(72, 8), (b) => (b[104] = v)), "compression type");
	for (const v of [7, 64, 0xffffffff]) q(`refcount-order-${v}`, u32(96, v), "refcounts of");
	for (const v of [0, 72, 96, 105, 110, 8192, 0xfffffff8]) q(`header-${v}`, u32(100, v), "header of");
	const ext = (type, n) => both(u32(104, type), u32(108, n));
	q("ext-backing", ext(0xe2792aca, 4), "backing file");
	q("ext-data", ext(0x44415441, 4), "external data");
	q("ext-crypto", ext(0x0537be77, 16), "encrypted");
	for (const n of [C, 0x7fffffff, 0xffffffff]) q(`ext-long-${n}`, ext(0x12345678, n), "header extension");
	q("ext-many", (b) => { for (let at = 104; at < 8000; at += 8) { b.writeUInt32BE(77, at); b.writeUInt32BE(0, at + 4); } }, "too many");
	q("ext-backing-v2", both(u32(72, 0xe2792aca), u32(76, 4)), "backing file", 2);
	for (const bit of [0, 1, 5, 8, 56, 59, 62]) q(`l1-reserved-${bit}`, u64(3 * C, (1n << BigInt(bit)) | BigInt(4 * C)), "reserved bits");
	for (const [n, v, why] of [["unaligned", 4 * C + 512, "start of a cluster"], ["end", 8 * C, "not in the file"], ["far", 1n << 55n, "not in the file"],
		["reftable", C, "overlaps"], ["refblock", 2 * C, "overlaps"], ["l1", 3 * C, "overlaps"]])
		q(`l2-${n}`, u64(3 * C, v), why);
	q("l2-twice", both(u32(36, 2), u64(3 * C + 8, 4 * C)), "overlaps");
	for (const bit of [1, 4, 8, 56, 59, 61]) q(`data-reserved-${bit}`, u64(4 * C, (1n << BigInt(bit)) | BigInt(5 * C)), "reserved bits");
	for (const [n, v, why] of [["unaligned", 5 * C + 512, "not in the file"], ["end", 8 * C, "not in the file"], ["far", 1n << 55n, "not in the file"],
		["reftable", C, "overlaps"], ["refblock", 2 * C, "overlaps"], ["l1", 3 * C, "overlaps"], ["l2", 4 * C, "overlaps"], ["twice", 6 * C, "overlaps"]])
		q(`data-${n}`, u64(4 * C, v), why);
	q("zero-bit-v2", u64(4 * C, BigInt(5 * C) | 1n), "reserved bits", 2);
	const packed = (at, sectors) => u64(4 * C, (1n << 62n) | (BigInt(sectors) << 54n) | BigInt(at));
	q("packed-end", packed(8 * C, 0), "not in the file");
	q("packed-far", packed(1n << 50n, 3), "not in the file");
	q("packed-header", packed(8, 0), "overlaps");
	q("packed-l1", packed(3 * C + 100, 1), "overlaps");
	q("packed-data", packed(6 * C, 1), "damaged");
	q("packed-damaged", packed(5 * C, 127), "damaged");
	for (const [n, v, why] of [["end", 8 * C, "not in the file"], ["unaligned", 2 * C + 8, "not in the file"], ["reftable", C, "overlaps"], ["l1", 3 * C, "overlaps"]])
		q(`refblock-${n}`, u64(C, v), why);
	for (const n of [1, 4, 71, 72, 100, C, 2 * C, 3 * C, 4 * C, 4 * C + 8, 7 * C]) add(`qcow2-cut-${n}`, qcow2().subarray(0, n), "");
	// A bomb: one compressed cluster of ones that the whole disk points at.
	const bomb = qcow2((b) => {
		const z = zlib.deflateRawSync(Buffer.alloc(C, 1), { windowBits: 12 });
		z.copy(b, 5 * C);
		b.writeBigUInt64BE(BigInt(8192 * C), 24);
		for (let i = 0; i < 8192; i++) b.writeBigUInt64BE((1n << 62n) | (BigInt(Math.ceil(z.length / 512) - 1) << 54n) | BigInt(5 * C), 4 * C + 8 * i);
	});
	add("qcow2-bomb", bomb.subarray(0, 6 * C), "times its size");
}

// ---- VHD ----
const vhdSum = (b, at, n, sumAt) => {
	let s = 0;
	for (let i = 0; i < n; i++) if (i < sumAt || i >= sumAt + 4) s += b[at + i];
	b.writeUInt32BE(~s >>> 0, at + sumAt);
};
function footer(type, size) {
	const f = Buffer.alloc(512);
	f.write("conectix");
	f.writeUInt32BE(2, 8);
	f.writeUInt32BE(0x10000, 12);
	f.writeBigUInt64BE(type === 2 ? 0xffffffffffffffffn : 512n, 16);
	f.write("win ", 28);
	f.writeBigUInt64BE(BigInt(size), 40);
	f.writeBigUInt64BE(BigInt(size), 48);
	f.writeUInt32BE(type, 60);
	return f;
}
function fixed(edit = () => {}, repair = true) {
	const f = footer(2, MIB);
	edit(f);
	if (repair) vhdSum(f, 0, 512, 64);
	return Buffer.concat([Buffer.alloc(MIB, 7), f]);
}
// Footer, header at 512, table at 1536, two blocks of 64 KiB at 2048 and behind, footer.
const VB = C, BLOCK0 = 2048, BLOCK1 = BLOCK0 + 512 + VB;
function dynamic({ foot = () => {}, head = () => {}, bat = () => {}, copy = () => {}, repair = true } = {}) {
	const b = Buffer.alloc(BLOCK1 + 512 + VB + 512);
	const f = footer(3, 16 * VB);
	foot(f);
	if (repair) vhdSum(f, 0, 512, 64);
	f.copy(b, 0);
	f.copy(b, b.length - 512);
	b.write("cxsparse", 512);
	b.writeBigUInt64BE(0xffffffffffffffffn, 520);
	b.writeBigUInt64BE(1536n, 528);
	b.writeUInt32BE(0x10000, 536);
	b.writeUInt32BE(16, 540);
	b.writeUInt32BE(VB, 544);
	head(b.subarray(512, 1536));
	if (repair) vhdSum(b, 512, 1024, 36);
	b.fill(0xff, 1536, 1600);
	b.writeUInt32BE(BLOCK0 / 512, 1536);
	b.writeUInt32BE(BLOCK1 / 512, 1540);
	bat(b.subarray(1536, 1600));
	copy(b);
	return b;
}
function makeVhd() {
	for (const t of [0, 1, 5, 6, 0xffffffff]) add(`vhd-type-${t}`, fixed(u32(60, t)), "unknown type");
	add("vhd-differencing", fixed(u32(60, 4)), "differencing");
	add("vhd-checksum", fixed(u32(64, 1), false), "checksum");
	for (const v of [0, 0x20000, 0xffffffff]) add(`vhd-version-${v}`, fixed(u32(12, v)), "version");
	for (const v of [0, 512, MIB - 512, MIB + 512, -1]) add(`vhd-size-${v}`, fixed(u64(48, v)), "bytes");
	add("vhd-odd", Buffer.concat([Buffer.alloc(100), fixed().subarray(MIB)]), "");
	add("vhd-only-footer", fixed().subarray(MIB), "cannot be a VHD");
	const d = (name, o, why) => add(`vhd-dynamic-${name}`, dynamic(o), why);
	d("differencing", { foot: u32(60, 4) }, "differencing");
	d("checksum", { foot: u32(64, 1), repair: false }, "checksum");
	d("copy", { copy: (b) => (b[100] ^= 1) }, "differ");
	d("version", { foot: u32(12, 1) }, "version");
	for (const v of [0, 511, 513, 1n << 40n, -512]) d(`header-at-${v}`, { foot: u64(16, v) }, v === 0 || v === 511 || v === 513 ? "header at" : "");
	d("header-cookie", { head: (h) => h.write("cxsparsE") }, "cxsparse");
	d("header-checksum", { head: u32(36, 5), repair: false }, "checksum");
	for (const v of [0, 0x20000]) d(`header-version-${v}`, { head: u32(24, v) }, "version");
	for (const v of [0, 1, 512, 3 * MIB, 0x20000000, 0xffffffff]) d(`block-${v}`, { head: u32(32, v) }, "blocks of");
	for (const v of [0, 15]) d(`entries-${v}`, { head: u32(28, v) }, "do not make");
	for (const v of [1 << 20, 0xffffffff]) d(`entries-${v}`, { head: u32(28, v) }, "table of blocks");
	for (const [v, why] of [[100, "at byte"], [1n << 40n, "not in the file"], [-512, "not in the file"], [0, "not in the file"], [512, "not in the file"]])
		d(`table-at-${v}`, { head: u64(16, v) }, why);
	for (const v of [0, 1, 2, 3]) d(`block-at-${v}`, { bat: u32(0, v) }, "overlaps");
	for (const v of [1000, 0xfffffffe]) d(`block-at-${v}`, { bat: u32(0, v) }, "not in the file");
	d("block-twice", { bat: u32(0, BLOCK1 / 512) }, "overlaps");
	d("block-overlap", { bat: u32(0, BLOCK0 / 512 + 1) }, "overlaps");
	d("block-past-end", { foot: u64(48, VB) }, "past the disk's end");
	d("parent-id", { head: (h) => (h[40] = 1) }, "parent");
	d("parent-name", { head: (h) => h.write("\0/\0e", 64, "latin1") }, "parent");
	for (let i = 0; i < 8; i++) d(`locator-${i}`, { head: (h) => h.write("W2ku", 576 + 24 * i) }, "parent");
	d("reserved", { head: (h) => (h[1000] = 1) }, "reserved");
	for (const v of [1, 513]) d(`size-${v}`, { foot: u64(48, v) }, "disk of");
	d("size-65t", { foot: u64(48, 65n << 40n) }, "disk of");
	for (const n of [512, 1536, 2000, 2048, 4096, BLOCK1]) add(`vhd-dynamic-cut-${n}`, dynamic().subarray(0, n), "");
}

// ---- VHDX ----
function crc32c(b) {
	let c = ~0;
	for (const x of b) {
		c ^= x;
		for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
	}
	return ~c >>> 0;
}
const seal = (b) => { b.writeUInt32LE(0, 4); b.writeUInt32LE(crc32c(b), 4); };
const guid = (s) => {
	const h = Buffer.from(s.replace(/-/g, ""), "hex");
	h.subarray(0, 4).reverse(), h.subarray(4, 6).reverse(), h.subarray(6, 8).reverse();
	return h;
};
const ITEMS = [["CAA16737-FA36-4D43-B3B6-33F0AA44E76B", 8], ["2FA54224-CD1B-4876-B211-5DBED83BF4B8", 8],
	["BECA12AB-B2E6-4523-93EF-C309E000C746", 16], ["8141BF1D-A96F-4709-BA47-F233A8FAAB5F", 4], ["CDA348C7-445D-4471-9CC9-E9885251C556", 4]];
function vhdx({ head = () => {}, head2 = () => {}, regions = () => {}, meta = () => {}, items = () => {}, bat = () => {}, repair = true } = {}) {
	const b = Buffer.alloc(6 * MIB);
	b.write("vhdxfile");
	[1, 2].forEach((n) => {
		const h = b.subarray(n * C, n * C + 4096);
		h.write("head");
		h.writeBigUInt64LE(BigInt(n), 8);
		h.writeUInt16LE(1, 66);
		h.writeUInt32LE(MIB, 68);
		h.writeBigUInt64LE(BigInt(MIB), 72);
		(n === 1 ? head : head2)(h);
		if (repair) seal(h);
	});
	[3, 4].forEach((n) => {
		const t = b.subarray(n * C, n * C + C);
		t.write("regi");
		t.writeUInt32LE(2, 8);
		guid("2DC27766-F623-4200-9D64-115E9BFD4A08").copy(t, 16);
		t.writeBigUInt64LE(BigInt(3 * MIB), 32);
		t.writeUInt32LE(MIB, 40);
		t.writeUInt32LE(1, 44);
		guid("8B7CA206-4790-4B9A-B8FE-575F050F886E").copy(t, 48);
		t.writeBigUInt64LE(BigInt(2 * MIB), 64);
		t.writeUInt32LE(MIB, 72);
		t.writeUInt32LE(1, 76);
		regions(t);
		if (repair) seal(t);
	});
	const m = b.subarray(2 * MIB, 3 * MIB);
	m.write("metadata");
	m.writeUInt16LE(5, 10);
	let at = C;
	ITEMS.forEach(([g, n], i) => {
		guid(g).copy(m, 32 + 32 * i);
		m.writeUInt32LE(at, 48 + 32 * i);
		m.writeUInt32LE(n, 52 + 32 * i);
		m.writeUInt32LE(i ? 6 : 4, 56 + 32 * i);
		at += n;
	});
	m.writeUInt32LE(MIB, C);
	m.writeBigUInt64LE(BigInt(4 * MIB), C + 8);
	m.writeUInt32LE(512, C + 32);
	m.writeUInt32LE(4096, C + 36);
	meta(m);
	items(m.subarray(C, C + 40));
	const t = b.subarray(3 * MIB, 4 * MIB);
	t.writeBigUInt64LE(BigInt(4 * MIB) | 6n, 0);
	t.writeBigUInt64LE(BigInt(5 * MIB) | 6n, 8);
	bat(t);
	noise(2 * MIB).copy(b, 4 * MIB);
	return b;
}
const l32 = (at, v) => (b) => b.writeUInt32LE(v >>> 0, at);
const l64 = (at, v) => (b) => b.writeBigUInt64LE(BigInt.asUintN(64, BigInt(v)), at);
function makeVhdx() {
	const x = (name, o, why) => {
		// Sparse on disk: 6 MiB each would be much.
		const b = vhdx(o), file = `${String(lines.length).padStart(3, "0")}-vhdx-${name}`;
		const fd = fs.openSync(path.join(dir, file), "w");
		fs.ftruncateSync(fd, b.length);
		for (let at = 0; at < 4 * MIB + C; at += C) if (b.subarray(at, at + C).some((v) => v)) fs.writeSync(fd, b, at, C, at);
		fs.closeSync(fd);
		lines.push(`${file}\t${why}`);
	};
	x("headers", { head: (h) => h.write("HEAD"), head2: (h) => h.write("HEAD") }, "neither header");
	x("header-sums", { repair: false }, "neither header");
	x("sequence", { head: l64(8, 2) }, "sequence number");
	for (const v of [0, 2, 0xffff]) x(`version-${v}`, { head2: (h) => h.writeUInt16LE(v, 66) }, "version");
	x("dirty-log", { head2: (h) => (h[48] = 1) }, "log is not empty");
	for (const v of [0, 512, MIB + 1, 1n << 60n, -MIB]) x(`log-at-${v}`, { head2: l64(72, v) }, "log");
	for (const v of [1, 0xfff00000]) x(`log-size-${v}`, { head2: l32(68, v) }, "log");
	x("log-over-metadata", { head2: l64(72, 2 * MIB) }, "overlaps");
	x("region-magic", { regions: (t) => t.write("rigi") }, "neither region");
	for (const v of [2048, 0xffffffff]) x(`regions-${v}`, { regions: l32(8, v) }, "regions");
	for (const v of [0, 1]) x(`regions-${v}`, { regions: l32(8, v) }, "no table of blocks or no metadata");
	x("region-unknown", { regions: (t) => { t.writeUInt32LE(3, 8); t.fill(9, 80, 96); t.writeUInt32LE(1, 108); } }, "required region");
	x("region-twice", { regions: (t) => guid("2DC27766-F623-4200-9D64-115E9BFD4A08").copy(t, 48) }, "two regions");
	for (const v of [0, 512, 3 * MIB + 1, 1n << 50n, -MIB]) x(`region-at-${v}`, { regions: l64(32, v) }, "table of blocks");
	for (const v of [0, 1, 0xfff00000]) x(`region-size-${v}`, { regions: l32(40, v) }, "table of blocks");
	x("region-overlap", { regions: l64(32, 2 * MIB) }, "overlaps");
	x("region-over-log", { regions: l64(32, MIB) }, "overlaps");
	x("metadata-magic", { meta: (m) => m.write("metaData") }, "no metadata");
	x("metadata-count", { meta: (m) => m.writeUInt16LE(2048, 10) }, "no metadata");
	x("metadata-few", { meta: (m) => m.writeUInt16LE(1, 10) }, "missing");
	x("parent", { items: l32(4, 2) }, "parent");
	for (const v of [4, 0x80000000]) x(`parameters-${v}`, { items: l32(4, v) }, "unknown parameters");
	for (const v of [0, 512, 3 * MIB, 512 * MIB, 0xffffffff]) x(`block-${v}`, { items: l32(0, v) }, "blocks of");
	for (const v of [0, 513, 4096, 0xffffffff]) x(`sector-${v}`, { items: l32(32, v) }, "sectors of");
	for (const v of [1, 1000, 65n << 40n, -512]) x(`size-${v}`, { items: l64(8, v) }, "disk of");
	x("parent-locator", { meta: (m) => { m.writeUInt16LE(6, 10); guid("A8D35F2D-B30B-454D-ABF7-D3D84834AB0C").copy(m, 192); m.writeUInt32LE(4, 216); } }, "parent");
	x("item-twice", { meta: (m) => guid(ITEMS[0][0]).copy(m, 64) }, "twice");
	for (const v of [0, 100, MIB, 0xffffffff]) x(`item-at-${v}`, { meta: l32(48, v) }, "metadata item");
	for (const v of [0, 4, 9, 0xffffffff]) x(`item-size-${v}`, { meta: l32(52, v) }, "metadata item");
	for (const v of [4, 5]) x(`state-${v}`, { bat: l64(0, BigInt(4 * MIB) | BigInt(v)) }, "unknown state");
	x("state-7", { bat: l64(0, BigInt(4 * MIB) | 7n) }, "parent");
	for (const bit of [3, 10, 19]) x(`bat-reserved-${bit}`, { bat: l64(0, BigInt(4 * MIB) | 6n | (1n << BigInt(bit))) }, "reserved bits");
	for (const [v, why] of [[0, "not in the file"], [6 * MIB, "not in the file"], [1n << 60n, "not in the file"], [-MIB, "not in the file"],
		[MIB, "overlaps"], [2 * MIB, "overlaps"], [3 * MIB, "overlaps"], [5 * MIB, "overlaps"]])
		x(`bat-at-${v}`, { bat: l64(0, BigInt.asUintN(64, BigInt(v)) | 6n) }, why);
	x("bat-short", { items: l64(8, 8n << 40n) }, "do not fit");
	for (const n of [8, C, C + 4096, 3 * C, 5 * C]) add(`vhdx-cut-${n}`, vhdx().subarray(0, n), "");
	for (const n of [MIB, 2 * MIB + 10, 4 * MIB + 512]) add(`vhdx-cut-${n}`, vhdx().subarray(0, n), "");
}

// ---- VMDK ----
const TEXT = (type = "monolithicSparse", sectors = 2048) => `# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType="${type}"\n\nRW ${sectors} SPARSE "disk.vmdk"\n\nddb.adapterType = "lsilogic"\n`;
// Header, descriptor at 1, directory at 21, table at 22, grains at 128 and 256; grains of 64 KiB.
function sparse({ head = () => {}, text = TEXT(), dir: gd = () => {}, table = () => {} } = {}) {
	const b = Buffer.alloc((128 + 256) * 512);
	b.write("KDMV");
	b.writeUInt32LE(1, 4);
	b.writeUInt32LE(1, 8);
	b.writeBigUInt64LE(2048n, 12);
	b.writeBigUInt64LE(128n, 20);
	b.writeBigUInt64LE(1n, 28);
	b.writeBigUInt64LE(20n, 36);
	b.writeUInt32LE(512, 44);
	b.writeBigUInt64LE(21n, 56);
	b.writeBigUInt64LE(128n, 64);
	b.write("\n \r\n", 73);
	b.write(text, 512);
	b.writeUInt32LE(22, 21 * 512);
	b.writeUInt32LE(128, 22 * 512);
	b.writeUInt32LE(256, 22 * 512 + 4);
	noise(2 * C).copy(b, 128 * 512);
	head(b);
	gd(b.subarray(21 * 512));
	table(b.subarray(22 * 512));
	return b;
}
// Header, descriptor, one grain at 128, its table, the directory, footer, end.
function stream({ head = () => {}, mark = () => {}, data = zlib.deflateSync(noise(C)), end = () => {}, foot = () => {} } = {}) {
	const parts = [], put = (b) => parts.push(Buffer.concat([b, Buffer.alloc((512 - (b.length % 512)) % 512)]));
	const at = () => parts.reduce((n, p) => n + p.length, 0) / 512;
	const h = Buffer.from(sparse({ text: TEXT("streamOptimized") }).subarray(0, 512));
	h.writeUInt32LE(3, 4);
	h.writeUInt32LE(0x30001, 8);
	h.writeBigUInt64LE(0xffffffffffffffffn, 56);
	h.writeUInt16LE(1, 77);
	head(h);
	put(h);
	const d = Buffer.alloc(127 * 512);
	d.write(TEXT("streamOptimized"));
	put(d);
	const m = Buffer.alloc(12);
	m.writeUInt32LE(data.length, 8);
	mark(m);
	put(Buffer.concat([m, data]));
	const marker = (n, type) => { const k = Buffer.alloc(512); k.writeBigUInt64LE(BigInt(n)); k.writeUInt32LE(type, 12); return k; };
	put(marker(4, 1));
	const gt = at(), t = Buffer.alloc(2048);
	t.writeUInt32LE(128, 0);
	put(t);
	put(marker(1, 2));
	const gd = at(), g = Buffer.alloc(512);
	g.writeUInt32LE(gt, 0);
	put(g);
	const e = Buffer.concat([marker(1, 3), h, Buffer.alloc(512)]);
	e.writeBigUInt64LE(BigInt(gd), 512 + 56);
	foot(e.subarray(512, 1024));
	end(e);
	put(e);
	return Buffer.concat(parts);
}
function makeVmdk() {
	const s = (name, o, why) => add(`vmdk-${name}`, sparse(o), why);
	for (const v of [0, 4, 0xffffffff]) s(`version-${v}`, { head: l32(4, v) }, "version");
	for (const bit of [2, 3, 15, 18, 31]) s(`flag-${bit}`, { head: l32(8, (1 | (1 << bit)) >>> 0) }, "unknown flags");
	for (const [i, v] of [[73, 13], [74, 9], [75, 10], [76, 0]]) s(`newline-${i}`, { head: (b) => (b[i] = v) }, "line ends");
	s("newline-flag", { head: l32(8, 0) }, "line ends");
	s("unclean", { head: (b) => (b[72] = 1) }, "not closed");
	for (const v of [0, 1, 7, 96, 1 << 13, 1n << 40n]) s(`grain-${v}`, { head: l64(20, v) }, "grains of");
	for (const v of [0, 1, 256, 513, 0xffffffff]) s(`entries-${v}`, { head: l32(44, v) }, "tables of");
	for (const v of [1n << 38n, -1]) s(`capacity-${v}`, { head: l64(12, v) }, "disk of");
	for (const v of [1, 2, 0xffff]) s(`compression-${v}`, { head: (b) => b.writeUInt16LE(v, 77) }, "disagree");
	for (const [v, why] of [[0, "grain directory"], [1n << 40n, "grain directory"], [-1, "no grain directory"], [384, "not in the file"]]) s(`directory-${v}`, { head: l64(56, v) }, why);
	s("directory-descriptor", { head: l64(56, 5) }, "overlaps");
	for (const [at, n, why] of [[0, 20, "no descriptor"], [1, 0, "no descriptor"], [1, 4096, "descriptor of"], [1n << 40n, 20, "descriptor of"], [1, 1000, "not in the file"]])
		s(`descriptor-${at}-${n}`, { head: both(l64(28, at), l64(36, n)) }, why);
	const t = (name, text, why) => s(`text-${name}`, { text }, why);
	t("parent", TEXT().replace("ffffffff", "00000001"), "parent");
	t("parent-hint", TEXT() + 'parentFileNameHint="/etc/shadow"\n', "unknown line");
	t("change-track", TEXT() + 'changeTrackPath="/etc/shadow"\n', "unknown line");
	for (const type of ["monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "vmfs", "vmfsSparse", "vmfsRaw", "fullDevice", "partitionedDevice", "custom", "streamOptimized", "seSparse"])
		t(`type-${type}`, TEXT(type), "createType");
	for (const line of ['RW 2048 FLAT "/etc/shadow" 0', 'RW 2048 VMFS "x"', "RW 2048 ZERO", 'RDONLY 2048 SPARSE "x"', 'RW -1 SPARSE "x"x', 'RW 2048 SPARSE "a" 0', "RW 2048 SPARSE x"])
		t(`extent-${line.replace(/\W/g, "-")}`, TEXT().replace(/^RW.*$/m, line), "extent");
	t("extents", TEXT() + 'RW 2048 SPARSE "/etc/shadow"\n', "more than one extent");
	t("no-extent", TEXT().replace(/^RW.*$/m, ""), "missing");
	t("no-type", TEXT().replace(/^createType.*$/m, ""), "missing");
	t("no-parent", TEXT().replace(/^parentCID.*$/m, ""), "missing");
	t("sectors", TEXT("monolithicSparse", 4096), "sectors");
	t("long", TEXT() + "#" + "x".repeat(2000) + "\n", "a line of");
	t("tail", TEXT() + "\0RW 1 FLAT \"x\"\n", "behind its end");
	t("unknown", TEXT() + "include=/etc/shadow\n", "unknown line");
	for (const [v, why] of [[0xffffff, "cut off"], [384, "cut off"], [1, ""], [21, "past the disk's end"], [128, ""]]) s(`table-at-${v}`, { dir: l32(0, v) }, why);
	for (const [v, why] of [[257, "not in the file"], [0xffffffff, "not in the file"], [22, "overlaps"], [256, "overlaps"], [2, "overlaps"], [192, "overlaps"]]) s(`grain-at-${v}`, { table: l32(0, v) }, why);
	s("grain-past-end", { table: l32(4 * 20, 128) }, "past the disk's end");
	for (const n of [100, 512, 1024, 21 * 512, 22 * 512 + 4, 200 * 512]) add(`vmdk-cut-${n}`, sparse().subarray(0, n), "");
	const z = (name, o, why) => add(`vmdk-stream-${name}`, stream(o), why);
	z("no-footer", { end: (e) => e.fill(0) }, "no footer");
	z("marker", { end: l32(12, 2) }, "no footer");
	z("end", { end: (e) => (e[1024] = 1) }, "no footer");
	z("differ", { foot: l64(12, 4096) }, "differ");
	z("no-directory", { foot: l64(56, -1) }, "no grain directory");
	z("directory-far", { foot: l64(56, 1n << 40n) }, "grain directory");
	for (const v of [1, 128, 1n << 50n]) z(`lba-${v}`, { mark: l64(0, v) }, "marked as sector");
	for (const v of [0, 3 * C, 0xffffffff]) z(`size-${v}`, { mark: l32(8, v) }, "bytes");
	z("size-long", { mark: l32(8, 2 * C) }, "has 131072 bytes");
	z("damaged", { data: noise(1000) }, "damaged");
	z("short", { data: zlib.deflateSync(noise(C - 1)) }, "damaged");
	z("long", { data: zlib.deflateSync(noise(C + 1)) }, "damaged");
	z("gzip", { data: zlib.gzipSync(noise(C)) }, "damaged");
	for (const n of [512, 65536, 66048, 131072]) add(`vmdk-stream-cut-${n}`, stream().subarray(0, n), "");
}

// ---- OVA ----
function member(name, body, { type = "0", edit = () => {}, size } = {}) {
	const h = Buffer.alloc(512);
	h.write(name);
	h.write("0000644\0" + "0000000\0" + "0000000\0", 100);
	h.write((size ?? body.length).toString(8).padStart(11, "0") + "\0", 124);
	h.write("00000000000\0", 136);
	h.write(type, 156);
	h.write("ustar\x0000", 257);
	edit(h);
	h.write("        ", 148);
	h.write(h.reduce((a, v) => a + v, 0).toString(8).padStart(6, "0") + "\0 ", 148);
	return Buffer.concat([h, body, Buffer.alloc((512 - (body.length % 512)) % 512)]);
}
const END = Buffer.alloc(1024), OVF = Buffer.from("<Envelope/>");
const sha = (b) => createHash("sha256").update(b).digest("hex");
function makeOva() {
	const v = stream(), disk = member("d.vmdk", v), ovf = member("d.ovf", OVF);
	const o = (name, parts, why) => add(`ova-${name}`, Buffer.concat(parts), why);
	for (const n of ["../x.vmdk", "/x.vmdk", "a/b.vmdk", ".x.vmdk", "..", "/etc/passwd"]) o(`name-${n.replace(/\W/g, "_")}`, [ovf, member(n, v), END], "name");
	for (const type of ["1", "2", "3", "4", "5", "6", "7", "x", "g", "L", "K", "S"]) o(`type-${type}`, [ovf, member("d.vmdk", v, { type }), END], "no plain file");
	o("prefix", [ovf, member("d.vmdk", v, { edit: (h) => h.write("a/b", 345) }), END], "name");
	const bad = Buffer.concat([ovf, disk, END]);
	bad[148] = 0x37;
	add("ova-checksum", bad, "checksum");
	o("twice", [ovf, disk, disk, END], "twice");
	o("no-ovf", [disk, END], "no OVF");
	o("ovf-later", [disk, ovf, END], "no OVF");
	o("two-disks", [ovf, disk, member("e.vmdk", v), END], "one disk");
	o("iso", [ovf, disk, member("e.iso", OVF), END], "one disk");
	o("no-disk", [ovf, END], "no disk");
	o("empty-disk", [ovf, member("d.vmdk", Buffer.alloc(0)), END], "");
	o("raw-disk", [ovf, member("d.vmdk", noise(4096)), END], "KDMV");
	o("qcow2-disk", [ovf, member("d.vmdk", qcow2()), END], "KDMV");
	o("manifest", [ovf, member("d.mf", Buffer.from(`SHA256(d.vmdk)= ${sha("x")}\n`)), disk, END], "another sum");
	o("manifest-ovf", [ovf, member("d.mf", Buffer.from(`SHA256(d.vmdk)= ${sha(v)}\nSHA256(d.ovf)= ${sha("x")}\n`)), disk, END], "another sum");
	o("manifest-name", [ovf, member("d.mf", Buffer.from(`SHA256(/etc/shadow)= ${sha("x")}\n`)), disk, END], "not there");
	o("size-long", [ovf, member("d.vmdk", v, { size: v.length + 10 * MIB }), END], "not whole");
	o("size-max", [ovf, member("d.vmdk", v, { size: 0o77777777777 }), END], "not whole");
	for (const n of [0x80, 0xff]) o(`size-binary-${n}`, [ovf, member("d.vmdk", v, { edit: (h) => { h.fill(0xff, 124, 136); h[124] = n; } }), END], "not whole");
	o("size-text", [ovf, member("d.vmdk", v, { edit: (h) => h.write("-0000000001\0", 124) }), END], "not whole");
	o("no-end", [ovf, disk], "does not end");
	o("junk", [ovf, disk, noise(512)], "no member");
	o("many", [ovf, ...Array.from({ length: 70 }, (_, i) => member(`f${i}.cert`, OVF)), END], "more than 64");
}

// ---- Polyglots, bombs, others ----
function makeOthers() {
	const f = fixed().subarray(MIB);
	const heads = { qcow2: qcow2(), vhdx: vhdx().subarray(0, MIB), vmdk: sparse(), gzip: zlib.gzipSync(noise(4096)), ova: Buffer.concat([member("d.ovf", OVF), END]),
		text: Buffer.from("# Disk DescriptorFile\n"), luks: Buffer.from("LUKS\xba\xbe", "latin1"), qed: Buffer.from("QED\0"), zip: Buffer.from("PK\x03\x04"), xz: Buffer.from("\xfd7zXZ\0", "latin1"), zstd: Buffer.from("\x28\xb5\x2f\xfd", "latin1") };
	for (const [name, h] of Object.entries(heads)) {
		const body = Buffer.concat([h, Buffer.alloc((512 - (h.length % 512)) % 512)]), foot = Buffer.from(f);
		foot.writeBigUInt64BE(BigInt(body.length), 48);
		vhdSum(foot, 0, 512, 64);
		add(`both-vhd-${name}`, Buffer.concat([body, foot]), "marks of");
		const vdi = Buffer.concat([h, Buffer.alloc(Math.max(0, 512 - h.length))]);
		Buffer.from("7f10dabe", "hex").copy(vdi, 64);
		add(`both-vdi-${name}`, vdi, "marks of");
		if (name !== "ova" && name !== "vhdx") {
			const tar = Buffer.concat([h, Buffer.alloc(Math.max(0, 1024 - h.length))]);
			tar.write("ustar", 257);
			add(`both-tar-${name}`, tar, "marks of");
		}
	}
	for (const [n, bytes] of [["vdi", Buffer.concat([Buffer.alloc(64), Buffer.from("7f10dabe", "hex"), Buffer.alloc(444)])], ["qed", "QED\0"], ["cowd", "COWD"], ["text", "# Disk DescriptorFile\n"],
		["luks", Buffer.from("LUKS\xba\xbe", "latin1")], ["parallels", "WithoutFreeSpace"], ["zip", "PK\x03\x04"], ["seven", Buffer.from("7z\xbc\xaf\x27\x1c", "latin1")], ["bzip2", "BZh91AY"], ["asif", "shdw"]])
		add(`other-${n}`, Buffer.concat([Buffer.from(bytes), Buffer.alloc(1024)]), "not taken");
	add("other-dmg", Buffer.concat([Buffer.alloc(512), Buffer.from("koly"), Buffer.alloc(508)]), "not taken");
	add("raw-empty", "", "empty");
	for (const n of [1, 511, 513, 65537]) add(`raw-${n}`, noise(n), "whole sectors");
	const ones = Buffer.alloc(100 * MIB, 1), tool = (cmd, args, input) => execFileSync(cmd, args, { input, maxBuffer: 1 << 28 });
	add("bomb-gzip", zlib.gzipSync(ones), "times its size");
	add("bomb-xz", tool("xz", ["-1c"], ones), "times its size");
	add("bomb-zstd", tool("zstd", ["-1c"], ones), "times its size");
	add("bomb-zstd-window", tool("zstd", ["-1c", "--long=27"], noise(20 * MIB)), "damaged");
	const disk = noise(MIB);
	add("nested-gzip", zlib.gzipSync(zlib.gzipSync(disk)), "one layer");
	add("nested-zstd", zlib.gzipSync(tool("zstd", ["-1c"], disk)), "one layer");
	add("nested-xz", tool("xz", ["-1c"], zlib.gzipSync(disk)), "one layer");
	add("packed-backing", zlib.gzipSync(qcow2(u64(8, 4096))), "backing file");
	add("packed-differencing", tool("xz", ["-1c"], fixed(u32(60, 4))), "differencing");
	for (const [name, z] of [["gzip", zlib.gzipSync(disk)], ["xz", tool("xz", ["-1c"], disk)], ["zstd", tool("zstd", ["-1c", "--check"], disk)]]) {
		add(`cut-${name}`, z.subarray(0, z.length / 2), "");
		const bad = Buffer.from(z);
		bad[z.length >> 1] ^= 0x55;
		add(`damaged-${name}`, bad, "damaged");
		add(`tail-${name}`, Buffer.concat([z, noise(100)]), "damaged");
	}
}

makeQcow2();
makeVhd();
makeVhdx();
makeVmdk();
makeOva();
makeOthers();
fs.writeFileSync(path.join(dir, "list"), lines.join("\n") + "\n");
console.log(lines.length);
