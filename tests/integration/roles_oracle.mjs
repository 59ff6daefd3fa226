// SPDX-License-Identifier: Apache-2.0
// Every operation by every role at every scope, against a judgement of its own: what follows knows
// the published role definitions and how ids are read, and nothing of the program.
// usage: roles_oracle.mjs ASK_TOOL DATA_DIR
import { spawn, execFileSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { readFileSync } from 'node:fs';

const [tool, data] = process.argv.slice(2);
const child = spawn(tool, [data], { stdio: ['pipe', 'pipe', 'inherit'] });
const waiting = [];
createInterface({ input: child.stdout }).on('line', (l) => waiting.shift()(JSON.parse(l)));
const ask = (method, target, who, body) => new Promise((done) => {
	waiting.push(done);
	child.stdin.write(`${JSON.stringify({ who, method, target, body })}\n`);
});
async function make(method, target, body) {
	const r = await ask(method, target, null, body);
	if (r.status >= 300 || r.work < 0)
		throw new Error(`${method} ${target}: ${JSON.stringify(r)}`);
	return r.body;
}

// ---- Roles, as their publisher describes them -----------------------------------------------------
const J = (s) => s.trim().split(/\s+/);
const roles = [
	{ id: '8e3af657-a8ff-443c-a75c-2fe8c4bcb635', name: 'Owner', yes: ['*'], no: [] },
	{ id: 'b24988ac-6180-42a0-ab88-20f7382dd24c', name: 'Contributor', yes: ['*'],
		no: J(`Microsoft.Authorization/*/Delete Microsoft.Authorization/*/Write
			Microsoft.Authorization/elevateAccess/Action Microsoft.Blueprint/blueprintAssignments/write
			Microsoft.Blueprint/blueprintAssignments/delete Microsoft.Compute/galleries/share/action
			Microsoft.Purview/consents/write Microsoft.Purview/consents/delete
			Microsoft.Resources/deploymentStacks/manageDenySetting/action
			Microsoft.Subscription/cancel/action Microsoft.Subscription/enable/action
			Kiln.Identity/*/write Kiln.Identity/*/delete Kiln.Identity/*/action`) },
	{ id: 'acdd72a7-3385-48ef-bd42-f606fba81ae7', name: 'Reader', yes: ['*/read'], no: [] },
	{ id: '18d7d88d-d35e-4fb5-a5c3-7773c20a72d9', name: 'User Access Administrator',
		yes: J('*/read Microsoft.Authorization/* Microsoft.Support/*'), no: [] },
	{ id: 'f58310d9-a9f6-439a-9e8d-f62e7b41a168', name: 'RBAC Administrator',
		yes: J(`*/read Microsoft.Authorization/roleAssignments/write
			Microsoft.Authorization/roleAssignments/delete Microsoft.Support/*`), no: [] },
	{ id: '1ef6a3be-d0ac-425d-8c01-acb62866290b', name: 'Sharing Admin',
		yes: ['Microsoft.Compute/galleries/share/action'], no: [] },
	{ id: '85a2d0d9-2eba-4c9c-b355-11c2cc0788ab', name: 'Artifacts Publisher',
		yes: J(`Microsoft.Compute/galleries/* Microsoft.Compute/locations/capsOperations/read
			Microsoft.Compute/locations/communityGalleries/*
			Microsoft.Compute/locations/sharedGalleries/* Microsoft.Compute/images/*
			Microsoft.Compute/virtualMachines/write Microsoft.Compute/disks/write
			Microsoft.Authorization/*/read Microsoft.Insights/alertRules/*
			Microsoft.Resources/deployments/* Microsoft.Resources/subscriptions/resourceGroups/read`),
		no: ['Microsoft.Compute/galleries/share/action'] },
	{ id: 'cf7c76d2-98a3-4358-a134-615aa78bf44d', name: 'Image Reader',
		yes: J('Microsoft.Compute/galleries/images/read Microsoft.Compute/galleries/images/versions/read'),
		no: [] },
	{ id: '959f8984-c045-4866-89c7-12bf9737be2e', name: 'Data Operator', yes: [], no: [] },
	{ id: '00000000-0000-4000-8000-00000000c001', name: 'custom: images but versions', custom: true,
		yes: J('microsoft.compute/GALLERIES/*/read */tags/write'),
		no: ['Microsoft.Compute/galleries/images/versions/*'] },
	{ id: '00000000-0000-4000-8000-00000000c002', name: 'custom: stars inside', custom: true,
		yes: J('Microsoft.*/image*/w*e Microsoft.Compute/*/action'), no: ['*/begin*'] },
];
const regex = (p) => new RegExp(`^${p.split('*').map((s) => s.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')).join('.*')}$`, 'i');
for (const r of roles) {
	r.yes = r.yes.map(regex);
	r.no = r.no.map(regex);
}
const allows = (role, action) => role.yes.some((p) => p.test(action)) && !role.no.some((p) => p.test(action));

// ---- The world ------------------------------------------------------------------------------------
const admin = JSON.parse(readFileSync(`${data}/admin.json`));
const home = admin.tenantId.toLowerCase();
const T2 = '99999999-0000-4000-8000-000000000002';
const S1 = `/subscriptions/${admin.subscriptionId}`;
const C = '/providers/Microsoft.Compute';
const V25 = 'api-version=2025-12-03';
const made = async (alias, more) =>
	`/subscriptions/${(await make('PUT', `/providers/Microsoft.Subscription/aliases/${alias}?api-version=2021-10-01`,
		{ properties: { displayName: alias, workload: 'Production', ...more } })).properties.subscriptionId}`;
await make('PUT', `/providers/Kiln.Identity/tenants/${T2}?api-version=2026-11-01`, { properties: { displayName: 'two' } });
const S2 = await made('second', {});
const S3 = await made('foreign', { additionalProperties: { subscriptionTenantId: T2 } });
for (const [s, groups] of [[S1, ['g', 'h']], [S2, ['g']], [S3, ['g']]])
	for (const g of groups) {
		await make('PUT', `${s}/resourceGroups/${g}?api-version=2021-04-01`, { location: 'eastus' });
		const gal = `${s}/resourceGroups/${g}${C}/galleries/gal_${g}`;
		await make('PUT', `${gal}?${V25}`, { location: 'eastus',
			properties: s === S3 ? { sharingProfile: { permissions: 'Groups' } } : {} });
		await make('PUT', `${gal}/images/def?${V25}`, { location: 'eastus', properties: { osType: 'Linux',
			osState: 'Generalized', hyperVGeneration: 'V2', identifier: { publisher: 'p', offer: 'o', sku: 's' } } });
	}
await make('POST', `${S3}/resourceGroups/g${C}/galleries/gal_g/share?${V25}`,
	{ operationType: 'Add', groups: [{ type: 'Subscriptions', ids: [admin.subscriptionId] }] });
await make('PUT', `${S3}/resourceGroups/g${C}/galleries/pub?${V25}`, { location: 'eastus', properties: { sharingProfile: {
	permissions: 'Community', communityGalleryInfo: { publicNamePrefix: 'kilntest', publisherUri: 'https://example.org',
		publisherContact: 'a@example.org', eula: 'none' } } } });
await make('POST', `${S3}/resourceGroups/g${C}/galleries/pub/share?${V25}`, { operationType: 'EnableCommunity' });
for (const r of roles.filter((x) => x.custom))
	for (const [s, id] of [[S1, r.id]])
		await make('PUT', `${s}/providers/Microsoft.Authorization/roleDefinitions/${id}?api-version=2022-04-01`, { properties: {
			roleName: r.name, assignableScopes: [S1, S2], permissions: [{
				actions: r.yes.map((p) => p.source.slice(1, -1).replace(/\.\*/g, '*').replace(/\\/g, '')),
				notActions: r.no.map((p) => p.source.slice(1, -1).replace(/\.\*/g, '*').replace(/\\/g, '')) }] } });

// ---- Principals: one role at one scope each, by itself or through a group ---------------------------
const gal = `${S1}/resourceGroups/g${C}/galleries/gal_g`;
const scopes = ['', S1, `${S1}/resourceGroups/g`, gal, `${gal}/images/def`, S2, S3];
const uuid = (n) => `00000000-0000-4000-9000-${n.toString(16).padStart(12, '0')}`;
const people = [{ who: { objectId: uuid(1), tenantId: home, groups: [] }, grants: [] },
	{ who: { objectId: uuid(2), tenantId: T2, groups: [] }, grants: [] }];
let n = 16;
for (const role of roles)
	for (const scope of scopes) {
		if (role.custom && (scope === '' || scope === S3))
			continue;
		const tenant = scope === S3 ? T2 : home;
		const byGroup = n % 3 === 0, holder = uuid(n++), person = byGroup ? uuid(n++) : holder;
		await make('PUT', `/providers/Kiln.Identity/${byGroup ? 'groups' : 'servicePrincipals'}/p${n}?api-version=2026-11-01`,
			{ properties: { objectId: holder, tenantId: tenant } });
		await make('PUT', `${scope}/providers/Microsoft.Authorization/roleAssignments/${uuid(n++)}?api-version=2022-04-01`,
			{ properties: { roleDefinitionId: `/providers/Microsoft.Authorization/roleDefinitions/${role.id}`, principalId: holder } });
		people.push({ who: { objectId: person, tenantId: tenant, groups: byGroup ? [holder] : [] }, grants: [{ role, scope }] });
	}

// ---- The judgement ----------------------------------------------------------------------------------
const within = (id, scope) => id.toLowerCase() === scope.toLowerCase() || id.toLowerCase().startsWith(`${scope.toLowerCase()}/`);
const tenantOf = (id) => (within(id, S3) ? T2 : home);
const grantsAt = (p, action, id) => p.who.tenantId === tenantOf(id) &&
	p.grants.some((g) => within(id, g.scope) && allows(g.role, action));
// A list above the subscriptions goes through all tenants, row by row.
const grantsBelow = (p, action, id) => (id === '' || p.who.tenantId === tenantOf(id)) &&
	p.grants.some((g) => g.scope !== '' && g.scope.toLowerCase() !== id.toLowerCase() && within(g.scope, id) && allows(g.role, action));
const isMember = (p, sub) => p.who.tenantId === tenantOf(sub) && p.grants.some((g) => within(sub, g.scope) || within(g.scope, sub));

function judge(p, c) {
	const { type } = c;
	if (c.action.endsWith('/read')) {
		if (type.readers === 'all' && (type.scope !== 'any' || c.scope === ''))
			return true;
		if (type.readers === 'members') {
			const sub = c.id.match(/^\/subscriptions\/[^/]+/i)?.[0];
			if (!sub || isMember(p, sub))
				return true;
		}
		if (c.list)
			return grantsAt(p, c.action, c.id) ||
				((!type.computedList || type.filtersRows) && grantsBelow(p, c.action, c.scope));
	}
	return grantsAt(p, c.action, c.id);
}

// ---- Cases: each request of each type at own, sibling, second and foreign scopes, there and absent ---
const types = execFileSync(tool, ['--types']).toString().trim().split('\n').map((l) => JSON.parse(l));
const bare = { 'Microsoft.Resources/subscriptions': '/subscriptions', 'Microsoft.Resources/tenants': '/tenants' };
function* places(t) {
	const groups = [`${S1}/resourceGroups/g`, `${S1}/resourceGroups/h`, `${S1}/resourceGroups/none`,
		`${S2}/resourceGroups/g`, `${S3}/resourceGroups/g`];
	if (t.scope === 'group')
		yield* groups;
	else if (t.scope === 'subscription')
		yield* [S1, S2, S3];
	else if (t.scope === 'any')
		yield* ['', S1, S3, groups[0], groups[4], gal, `${gal}/images/def`, `${gal}none`];
	else
		yield '';
}
// The path of a collection of the type at a place; names alternate between what is there and what is not.
function collection(t, place, name) {
	const [ns, ...words] = t.name.split('/');
	if (bare[t.name])
		return bare[t.name];
	if (ns === 'Microsoft.Resources' && (words[0] === 'subscriptions' || words[0] === 'resourceGroups'))
		return `${place}/${words.at(-1)}`;
	if (t.name === 'Microsoft.Resources/providers')
		return `${place}/providers`;
	if (t.name === 'Microsoft.Insights/eventtypes/values')
		return `${place}/providers/Microsoft.Insights/eventtypes/management/values`;
	const in_ = words.slice(0, -1).map((w) => `/${w}/${w === 'locations' ? 'eastus' : name(w)}`).join('');
	return `${place}/providers/${ns}${in_}/${words.at(-1)}`;
}
const there = { galleries: 'gal_g', images: 'def' };
const cases = [];
for (const type of types)
	for (const place of places(type))
		for (const name of [(w) => there[w] ?? 'zz', () => 'zz']) {
			const path = collection(type, place, name), last = type.name.split('/').at(-1);
			const guid = /roleDefinitions|roleAssignments|tenants$/.test(type.name);
			const own = type.name.endsWith('/subscriptions') ? S2.split('/')[2]
				: type.name === 'Microsoft.Resources/providers' ? 'Microsoft.Nothing'
					: guid ? '00000000-0000-4000-8000-0000000000ff' : last === 'tags' ? 'default' : name(last);
			const item = `${path}/${own}`;
			for (const q of type.requests) {
				const action = q.action.replace('{name}', own);
				const add = (method, id, list) => cases.push({ type, method, id, action, list, scope: place, verb: q.verb });
				if (q.method === 'GET' && !q.verb) {
					add('GET', item, false);
					cases.push({ type, method: 'GET', id: path, action, list: true,
						scope: type.scope === 'any' || !path.includes('/providers/') ? place : path.replace(/(\/providers\/[^/]+)?\/[^/]+$/, '') });
				} else if (q.verb !== undefined && q.verb !== null) {
					add(q.method, q.verb === '' ? path : `${type.name.endsWith('providers') ? path + '/Microsoft.Nothing' : `${path}/zz`}/${q.verb}`, false);
				} else if (place.startsWith(gal) || type.scope !== 'any') {
					add(q.method, `${path}/${guid ? own : last === 'tags' ? 'default' : last === 'subscriptions' ? own : 'zz'}`, false);
				}
			}
		}

// Rows of a list that the caller may not read: none may be there.
function leaked(p, c, rows) {
	if (/permissions|roleDefinitions|denyAssignments|eventtypes|tagNames/i.test(c.type.name))
		return [];
	if (c.type.readers !== 'role' && !c.type.name.endsWith('/resources'))
		return [];
	return rows.filter((row) => {
		if (!row.id)
			return false;
		const action = c.type.name.endsWith('/resources') ? `${row.type}/read` : c.action;
		const inherited = row.properties?.scope !== undefined &&
			within(c.scope, row.properties.scope === '/' ? '' : row.properties.scope);
		return !grantsAt(p, action, inherited ? c.scope : row.id);
	});
}

// ---- Asking -------------------------------------------------------------------------------------------
const stats = { cases: 0, wrong: 0, denied: 0, rows: 0 };
const wrong = [];
const seen = new Set();
for (const c of cases) {
	const key = `${c.method} ${c.id} ${c.action}`;
	if (seen.has(key))
		continue;
	seen.add(key);
	const answers = await Promise.all(people.map((p) =>
		ask(c.method, `${c.id}?api-version=2026-11-01`, p.who, c.method === 'GET' ? undefined : [])));
	answers.forEach((a, i) => {
		// The right is asked of the whole path; an action's verb is no part of it.
		const want = judge(people[i], { ...c, id: c.verb ? c.id.replace(/\/[^/]*$/, '') : c.id });
		const got = !(a.status === 403 && a.body?.error?.code === 'AuthorizationFailed');
		stats.cases++;
		stats.denied += !got;
		for (const row of c.list && a.status === 200 ? leaked(people[i], c, a.body.value ?? []) : []) {
			stats.wrong++;
			wrong.push(`${JSON.stringify(people[i].grants.map((g) => [g.role.name, g.scope]))} sees ${row.id} in ${c.id}`);
		}
		stats.rows += c.list && a.status === 200 ? (a.body.value ?? []).length : 0;
		if (a.status >= 500)
			wrong.push(`${a.status} ${c.method} ${c.id}: ${JSON.stringify(a.body)}`);
		if (want !== got) {
			stats.wrong++;
			wrong.push(`${JSON.stringify(people[i].grants.map((g) => [g.role.name, g.scope]))} ${c.method} ${c.id}` +
				` (${c.action}): expected ${want ? 'allowed' : 'denied'}, got ${a.status} ${a.body?.error?.code ?? ''}`);
		}
	});
}

// ---- What is shared reaches exactly those it is shared with, by their roles -----------------------------
const L = (s) => `${s}${C}/locations/eastus`;
const shared = `${S3.split('/')[2]}-GAL_G`;
const pub = (await make('GET', `${S3}/resourceGroups/g${C}/galleries/pub?${V25}`)).properties.sharingProfile.communityGalleryInfo.publicNames[0];
for (const p of people)
	for (const s of [S1, S2, S3]) {
		const may = grantsAt(p, 'Microsoft.Compute/locations/sharedGalleries/images/read', `${L(s)}/sharedGalleries/x/images/def`);
		const mayPub = grantsAt(p, 'Microsoft.Compute/locations/communityGalleries/read', `${L(s)}/communityGalleries/x`);
		const a = await ask('GET', `${L(s)}/sharedGalleries/${shared}/images/def?${V25}`, p.who);
		const b = await ask('GET', `${L(s)}/communityGalleries/${pub}?${V25}`, p.who);
		const direct = await ask('GET', `${S3}/resourceGroups/g${C}/galleries/gal_g/images/def?${V25}`, p.who);
		const wants = [[a, !may ? 403 : s === S1 ? 200 : 404], [b, mayPub ? 200 : 403],
			[direct, grantsAt(p, 'Microsoft.Compute/galleries/images/read', `${S3}/resourceGroups/g${C}/galleries/gal_g/images/def`) ? 200 : 403]];
		for (const [r, want] of wants) {
			stats.cases++;
			if (r.status !== want) {
				stats.wrong++;
				wrong.push(`sharing: ${JSON.stringify(p.grants.map((g) => [g.role.name, g.scope]))} from ${s}: expected ${want}, got ${r.status}`);
			}
		}
	}
child.stdin.end();
for (const w of wrong.slice(0, 40))
	console.log(w);
console.log(JSON.stringify(stats));
process.exit(wrong.length ? 1 : 0);
