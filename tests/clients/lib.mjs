// SPDX-License-Identifier: Apache-2.0
// What the client suites share: the clients, logged in, and tests that print "ok" and "not ok".
import assert from 'node:assert/strict';
import fs from 'node:fs';

import {AuthorizationManagementClient} from '@azure/arm-authorization';
import * as compute from '@azure/arm-compute';
import {ImageBuilderClient} from '@azure/arm-imagebuilder';
import {ResourceManagementClient} from '@azure/arm-resources';
import {SubscriptionClient} from '@azure/arm-resources-subscriptions';
import {ClientSecretCredential} from '@azure/identity';

export {assert};
export const admin = JSON.parse(fs.readFileSync(`${process.env.KILN_DATA}/admin.json`, 'utf8'));
export const sub = admin.subscriptionId;
export const group = `npm-${process.pid}`;
export const scope = `/subscriptions/${sub}/resourceGroups/${group}`;
export const golden = `/subscriptions/${sub}${process.env.GOLDEN}`;

export const credential = (id = admin.clientId, secret = admin.clientSecret, tenant = admin.tenantId) =>
	new ClientSecretCredential(tenant, id, secret, {authorityHost: admin.endpoint, disableInstanceDiscovery: true});

// Generations of the clients name their options for the endpoint and the audience differently.
const options = {
	endpoint: admin.endpoint,
	credentialScopes: `${admin.endpoint}/.default`,
	credentials: {scopes: [`${admin.endpoint}/.default`]},
	retryOptions: {maxRetries: 1},
};
export const clients = (c = credential()) => ({
	compute: new compute.ComputeManagementClient(c, sub, options),
	builder: new ImageBuilderClient(c, sub, options),
	resources: new ResourceManagementClient(c, sub, options),
	roles: new AuthorizationManagementClient(c, sub, options),
	subscriptions: new SubscriptionClient(c, options),
});
export const my = clients();

export async function test(name, run) {
	try {
		await run();
		console.log(`ok ${name}`);
	} catch (e) {
		const say = [e.message, e.code, e.statusCode, e.stack?.split('\n').find(l => l.includes('/clients/') && !l.includes('node_modules'))];
		console.log(`  | ${say.filter(Boolean).join('; ').replaceAll('\n', '\n  | ')}\nnot ok ${name}`);
	}
}

// The error that @run ends with, which is the clients' own type with a code and a status.
export async function fails(run, status, code) {
	let error;
	try {
		await run();
	} catch (e) {
		error = e;
	}
	assert.ok(error, 'it succeeded');
	assert.equal(error.name, 'RestError', `${error.name}: ${error.message}`);
	assert.equal(error.statusCode, status, `${error.statusCode} ${error.code}: ${error.message}`);
	assert.match(error.code ?? '', code);
	return error;
}

export async function all(pages) {
	const ret = [];
	for await (const x of pages)
		ret.push(x);
	return ret;
}

// Runs @work for 0 to @n - 1, @width at a time.
export async function many(n, width, work) {
	let next = 0;
	await Promise.all(Array.from({length: width}, async () => {
		while (next < n)
			await work(next++);
	}));
}

// A request for what no client offers.
export async function send(method, url, body, headers = {}) {
	const {token} = await credential().getToken(`${admin.endpoint}/.default`);
	return fetch(new URL(url, admin.endpoint), {
		method, headers: {authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers},
		body: body === undefined ? undefined : JSON.stringify(body),
	});
}

// What an operation ends with, continued from what another poller wrote down; each generation of the
// clients has its own way.
export async function resume(client, state, operation, again) {
	const poller = compute.restorePoller ? {poller: compute.restorePoller(client, state, operation)}
		: {poller: await again({resumeFrom: state})};
	return poller.poller.pollUntilDone();
}
