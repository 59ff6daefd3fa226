// SPDX-License-Identifier: Apache-2.0
// Role definitions and assignments with @azure/arm-authorization; what they let a principal do.
import {randomUUID} from 'node:crypto';

import {all, assert, clients, credential, fails, group, my, scope, send, sub, test} from './lib.mjs';

const reader = `/subscriptions/${sub}/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7`;
const {roleAssignments, roleDefinitions, permissions} = my.roles;

async function definitions() {
	const [found] = await all(roleDefinitions.list(scope, {filter: "roleName eq 'Reader'"}));
	assert.equal(found.name, reader.split('/').pop());
	assert.deepEqual(found.permissions[0].actions, ['*/read']);
	const id = randomUUID();
	const made = await roleDefinitions.createOrUpdate(scope, id, {
		roleName: `npm ${id}`, description: 'looks at galleries', roleType: 'CustomRole', assignableScopes: [scope],
		permissions: [{actions: ['Microsoft.Compute/galleries/read'], notActions: []}]});
	assert.equal(made.roleType, 'CustomRole');
	assert.equal((await roleDefinitions.get(scope, id)).roleName, `npm ${id}`);
	assert.equal((await roleDefinitions.delete(scope, id)).name, id);
	await fails(() => roleDefinitions.get(scope, id), 404, /^RoleDefinitionDoesNotExist$|NotFound/);
}

// A service principal that may do nothing, then read, then nothing again.
async function assignments() {
	const principal = await newPrincipal();
	const theirs = clients(credential(principal.appId, principal.secret));
	const read = () => theirs.resources.resourceGroups.get(group);
	await fails(read, 403, /^AuthorizationFailed$/);
	const name = randomUUID();
	const made = await roleAssignments.create(scope, name, {roleDefinitionId: reader, principalId: principal.objectId, principalType: 'ServicePrincipal'});
	assert.equal(made.scope, scope);
	assert.equal((await read()).name, group);
	await fails(() => theirs.resources.resourceGroups.createOrUpdate(group, {location: 'eastus', tags: {no: 'no'}}), 403, /^AuthorizationFailed$/);
	await fails(() => roleAssignments.create(scope, randomUUID(), {roleDefinitionId: reader, principalId: principal.objectId}), 409, /^RoleAssignmentExists$/);
	assert.deepEqual((await all(roleAssignments.listForScope(scope, {filter: `principalId eq '${principal.objectId}'`}))).map(a => a.name), [name]);
	assert.equal((await roleAssignments.delete(scope, name)).name, name);
	await fails(read, 403, /^AuthorizationFailed$/);
}

async function newPrincipal() {
	const id = `/providers/Kiln.Identity/servicePrincipals/npm-${randomUUID()}`, v = '?api-version=2026-11-01';
	const made = await send('PUT', `${id}${v}`, {properties: {displayName: 'npm'}});
	assert.ok(made.ok, `${made.status} ${await made.clone().text()}`);
	const {appId, clientId = appId, objectId} = (await made.json()).properties;
	const secret = await send('POST', `${id}/addPassword${v}`, {displayName: 'npm'});
	assert.ok(secret.ok, `${secret.status} ${await secret.clone().text()}`);
	const words = await secret.json();
	return {appId: clientId, objectId, secret: words.secretText ?? words.secret ?? words.value};
}

async function mine() {
	const list = await all(permissions.listForResourceGroup(group));
	assert.ok(list.some(p => p.actions.includes('*')), 'the owner may do everything');
}

export default async function run() {
	await test('role definitions: built in and custom', definitions);
	await test('role assignments: none, reader, none', assignments);
	await test('permissions of the caller', mine);
}
