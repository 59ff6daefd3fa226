// SPDX-License-Identifier: Apache-2.0
// The smallest ARM client: HTTPS to the endpoint of admin.json, a token, operations followed.
import fs from 'node:fs';
import https from 'node:https';

export class Client {
	constructor(admin) {
		this.admin = admin;
		this.base = new URL(admin.endpoint);
		this.agent = new https.Agent({keepAlive: true, maxSockets: 4, ca: fs.readFileSync(admin.caFile)});
	}

	static open(dataDir) {
		return new Client(JSON.parse(fs.readFileSync(`${dataDir}/admin.json`, 'utf8')));
	}

	raw(method, url, headers, body) {
		return new Promise((resolve, reject) => {
			const req = https.request(new URL(url, this.base), {method, headers, agent: this.agent}, res => {
				const parts = [];
				res.on('data', d => parts.push(d));
				res.on('error', reject);
				res.on('end', () => resolve({status: res.statusCode, headers: res.headers, text: Buffer.concat(parts).toString()}));
			});
			req.on('error', reject);
			req.end(body);
		});
	}

	async login() {
		const {tenantId, clientId, clientSecret} = this.admin;
		const form = new URLSearchParams({
			grant_type: 'client_credentials', client_id: clientId, client_secret: clientSecret,
			scope: 'https://management.azure.com/.default',
		}).toString();
		const r = await this.raw('POST', `/${tenantId}/oauth2/v2.0/token`,
			{'content-type': 'application/x-www-form-urlencoded', 'content-length': form.length}, form);
		if (r.status !== 200)
			throw new Error(`no token: ${r.status} ${r.text}`);
		this.token = JSON.parse(r.text).access_token;
	}

	// One request. body: a value, sent as JSON. Result: {status, headers, body, text}.
	async send(method, url, body) {
		const text = body === undefined ? undefined : JSON.stringify(body);
		const r = await this.raw(method, url, {
			authorization: `Bearer ${this.token}`, accept: 'application/json',
			...(text === undefined ? {} : {'content-type': 'application/json', 'content-length': Buffer.byteLength(text)}),
		}, text);
		try {
			r.body = r.text ? JSON.parse(r.text) : undefined;
		} catch (e) {
			throw new Error(`${method} ${url}: ${r.status}, the body is no JSON: ${r.text.slice(0, 200)}`);
		}
		return r;
	}

	// Follows the operation that @r began. Calls seen(document) for each state that is read.
	// Result: the last state, or undefined when there is no operation.
	async settle(r, seen = () => {}) {
		const url = r.headers['azure-asyncoperation'];
		for (let last; url; await new Promise(next => setTimeout(next, last))) {
			const state = await this.send('GET', url);
			seen(state);
			if (state.status !== 200 || !['InProgress', 'Running', 'Creating', 'Updating', 'Deleting'].includes(state.body?.status))
				return state;
			last = Math.min(400, (last ?? 20) * 2);
		}
		return undefined;
	}
}
