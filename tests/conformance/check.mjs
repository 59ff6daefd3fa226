// SPDX-License-Identifier: Apache-2.0
// Asks a server for every operation of facts/, with requests modelled on the published examples,
// in several api-versions, and holds statuses and bodies against the schemas.
//
//   node check.mjs DATA_DIR [AREA[@VERSION]...]
//
// DATA_DIR is that of a running server (admin.json), PACKAGE in the environment a URL that it can fetch.
// Prints "ok", "not ok" lines, one an operation
// and api-version; what gaps.json excuses is counted, and a gap that is none any more is a failure.
import fs from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';

import {Client} from './client.mjs';
import {validate} from './schema.mjs';
import {OMIT, fill} from './values.mjs';
import {World, bodies, generic, genericVersion, ids, nameFor, queries, targets, versions} from './worlds.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const gaps = JSON.parse(fs.readFileSync(`${here}/gaps.json`, 'utf8'));
const glob = p => new RegExp(`^${p.replace(/[.$/()[\]]/g, '\\$&').replaceAll('*', '.*')}$`);
const lookup = (table, key) => Object.entries(table).find(([p]) => glob(p).test(key));

// An error's body, and a state of an operation.
const common = {
	Error: {error: '*@Detail'},
	Bare: {code: '*string', message: '*string', target: 'string'}, // of old image builders
	Detail: {code: '*string', message: '*string', target: 'string', details: '[@Detail]', innererror: 'any', additionalInfo: '[any]'},
	State: {id: 'string', name: 'string', status: '*=InProgress|Succeeded|Failed|Canceled', startTime: 'string/date-time',
		endTime: 'string/date-time', percentComplete: 'number', error: '@Detail', properties: 'any'},
};

function facts(area, version) {
	const all = fs.readdirSync(`${here}/facts`).filter(f => f.startsWith(`${area}-`)).sort()
		.map(f => JSON.parse(fs.readFileSync(`${here}/facts/${f}`, 'utf8')));
	return all.filter(f => f.version <= version).pop() ?? all[0];
}

class Run {
	constructor(world, spec) {
		Object.assign(this, {world, spec, client: world.client});
		this.n = 0;
		this.errors = world.area === 'imagebuilder' && world.version <= '2020-02-14' ? '@Bare' : '@Error';
		this.made = [];   // {id, parameters, example, template}: what examples made, oldest first
		this.found = new Map(); // operation: findings
		this.served = new Set();
		this.used = new Set();  // gaps that applied
	}

	note(op, problems) {
		this.found.set(op, [...(this.found.get(op) ?? []), ...problems]);
	}
	excused(kind, key) {
		const hit = lookup(gaps[kind], key) ?? lookup(gaps[kind], `${key}@${this.world.version}`);
		if (hit)
			this.used.add(`${kind} ${hit[0]}`);
		return hit?.[1];
	}

	url(name, template, given, query) {
		const parameters = {...given, ...this.world.special[name]};
		let complete = true;
		const p = template.replace(/\?.*/, '').replace(/\{([^}]+)\}/g, (_, k) => {
			complete &&= parameters[k] !== undefined;
			return ids.includes(k) ? String(parameters[k]).replace(/^\//, '') : encodeURIComponent(parameters[k]);
		});
		const q = query ? `&${query.replace(/=(.*)/, (_, v) => `=${encodeURIComponent(v)}`)}` : '';
		const version = generic.test(name) ? genericVersion : this.world.version;
		return complete ? `${p}?api-version=${version}${q}` : null;
	}

	known = (kind, model, field) => Boolean(this.excused(kind, `${model}.${field}`));

	// One request and all that can be said of its answer. Result: the response, or null.
	async ask(name, op, parameters, {body, query, what = ''} = {}) {
		const url = this.url(name, op.path, parameters, query);
		if (!url) {
			this.note(name, [`${what}: nothing here to ask it about`]);
			return null;
		}
		const r = await this.client.send(op.method, url, body);
		const say = p => this.note(name, [`${op.method} ${url}${what ? ` (${what})` : ''}: ${p}`]);
		if (r.status >= 400 && !(r.status in op.status)) {
			const excuse = this.excused('examples', what || name), error = r.body?.error ?? r.body;
			validate(r.body, this.errors, common).forEach(f => say(`error body: ${f.path}: ${f.problem}`));
			if (!excuse)
				say(`${r.status} ${error?.code}: ${error?.message} [${error?.target ?? ''}]`);
			else if (excuse.code !== error?.code)
				say(`${error?.code} where gaps.json says ${excuse.code}`);
			else
				this.served.add(name);
			return {...r, refused: true};
		}
		this.served.add(name);
		if (!(r.status in op.status))
			say(`status ${r.status} is none of ${Object.keys(op.status)}`);
		const rule = op.status[r.status];
		if (rule && (r.status !== 202 || r.body !== undefined))
			validate(r.body, rule, this.spec.models, this.known).forEach(f => say(`${f.path}: ${f.problem}`));
		const end = await this.client.settle(r, state => {
			validate(state.body, '@State', common).forEach(f => say(`operation: ${f.path}: ${f.problem}`));
		});
		if (end && end.body?.status !== 'Succeeded' && !this.excused('failures', what || name))
			say(`ended ${end.body?.status}: ${JSON.stringify(end.body?.error)}`);
		if (end?.body?.status === 'Succeeded' && op.method === 'POST' && r.headers.location)
			await this.result(name, op, r.headers.location, say);
		return r;
	}

	// What an action left behind its Location.
	async result(name, op, location, say) {
		const r = await this.client.send('GET', location);
		if (!(r.status in op.status))
			say(`Location: status ${r.status} is none of ${Object.keys(op.status)}`);
		else if (op.status[r.status])
			validate(r.body, op.status[r.status], this.spec.models, this.known).forEach(f => say(`Location: ${f.path}: ${f.problem}`));
	}

	body(operation, op, example, name, current) {
		const outline = op.examples?.[example];
		if (bodies[operation])
			return bodies[operation](this.world);
		if (outline === undefined)
			return undefined;
		const filled = fill(outline, {world: this.world, name, example, current,
			omit: field => this.excused('omitted', field)});
		return filled === OMIT ? {} : filled;
	}

	async operation(name, op) {
		if (op.method === 'PUT')
			return this.put(name, op);
		if (op.method === 'PATCH' || op.method === 'POST')
			return this.change(name, op);
		if (op.method === 'GET' || op.method === 'HEAD')
			return this.read(name, op);
		return undefined; // DELETE: at the end
	}

	async put(name, op) {
		const last = /\{([^}]+)\}$/.exec(op.path)?.[1];
		for (const example of Object.keys(op.examples ?? {none: {}})) {
			const own = last ? nameFor(last, ++this.n, this.world) : '';
			const parameters = last ? {...this.world.parameters, [last]: own} : this.world.parameters;
			const r = await this.ask(name, op, parameters, {body: this.body(name, op, example, own), what: example});
			if (r && !r.refused)
				this.made.push({template: op.path, parameters, example});
		}
	}

	async change(name, op) {
		const owner = op.path.replace(/\/[A-Za-z]+$/, '');
		for (const example of Object.keys(op.examples ?? {[name]: {}})) {
			const made = this.made.filter(m => m.template === op.path || m.template === owner);
			const target = made.find(m => m.example === targets[example]) ?? made[0];
			const parameters = target?.parameters ?? this.world.parameters;
			const url = this.url(name, op.method === 'PATCH' ? op.path : owner, parameters);
			const current = url && (await this.client.send('GET', url)).body;
			await this.ask(name, op, parameters, {
				body: this.body(name, op, example, 'patch', current ?? {}), what: example});
		}
	}

	async read(name, op) {
		const made = this.made.filter(m => m.template === op.path);
		for (const m of made.length ? made : [{parameters: this.world.parameters}])
			for (const query of [undefined, ...(m === made[0] || !made.length ? queries[name] ?? [] : [])])
				await this.ask(name, op, m.parameters, {query});
	}

	async remove() {
		const deletes = Object.entries(this.spec.operations).filter(([, o]) => o.method === 'DELETE');
		for (const m of this.made.reverse()) {
			const hit = deletes.find(([, o]) => o.path === m.template);
			if (!hit)
				continue;
			await this.world.release(m);
			const r = await this.ask(...hit, m.parameters);
			if (r?.refused)
				continue;
			const url = this.url(hit[0], m.template, m.parameters), gone = await this.client.send('GET', url);
			if (m.template.endsWith('/default'))
				continue; // is always there
			if (gone.status !== 404)
				this.note(hit[0], [`${url}: GET after DELETE is ${gone.status}`]);
			validate(gone.body, this.errors, common).forEach(f => this.note(hit[0], [`404: ${f.path}: ${f.problem}`]));
			await this.ask(...hit, m.parameters); // once more: nothing there
		}
	}

	// Findings without repetition: elements of one list have the same faults.
	distinct(name) {
		const {sub, group} = this.world;
		const plain = f => f.replaceAll(group, '').replaceAll(sub, '').replace(/\[\d+\]/g, '[]');
		return [...new Set((this.found.get(name) ?? []).map(plain))];
	}

	report() {
		for (const name of Object.keys(this.spec.operations)) {
			const title = `${this.world.label} ${name}`, found = this.distinct(name);
			const gap = this.excused('operations', name);
			if (gap && !this.served.has(name))
				console.log(`gap ${title}: ${gap}`);
			else if (gap)
				console.log(`not ok ${title}: served, though gaps.json says "${gap}"`);
			else if (found.length)
				console.log(`${found.map(f => `  | ${f}`).join('\n')}\nnot ok ${title}`);
			else if (this.served.has(name))
				console.log(`ok ${title}`);
			else
				console.log(`  | never asked\nnot ok ${title}`);
		}
	}
}

const order = {PUT: 0, PATCH: 1, POST: 2, HEAD: 3, GET: 4, DELETE: 9};

export async function run(client, wanted = []) {
	const used = new Set();
	for (const [area, list] of Object.entries(versions))
		for (const version of list) {
			if (wanted.length && !wanted.includes(area) && !wanted.includes(`${area}@${version}`))
				continue;
			const world = new World(client, area, version);
			await world.setUp();
			world.missing.forEach(m => console.log(`  | not made: ${m}`));
			const r = new Run(world, facts(area, version));
			const ops = Object.entries(r.spec.operations).sort(([, a], [, b]) => order[a.method] - order[b.method]);
			for (const [name, op] of ops)
				await r.operation(name, op);
			await r.remove();
			r.report();
			r.used.forEach(u => used.add(u));
			await world.tearDown();
		}
	if (!wanted.length)
		for (const kind of ['operations', 'examples', 'additions', 'absent', 'omitted', 'failures'])
			for (const key of Object.keys(gaps[kind]).filter(k => !used.has(`${kind} ${k}`)))
				console.log(`not ok gaps.json: ${kind}: nothing needs "${key}"`);
}

if (fs.realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
	const [dataDir, ...wanted] = process.argv.slice(2);
	const client = Client.open(dataDir);
	await client.login();
	await run(client, wanted);
	client.agent.destroy();
}
