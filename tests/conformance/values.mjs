// SPDX-License-Identifier: Apache-2.0
// Values of our own for what an example sets.

export const OMIT = Symbol('left out');

/**
 * The outline of an example's body, filled. @world: see worlds.mjs; @current: the resource that a
 * PATCH changes; @name: of the resource; @omit(field path): a reason to leave a field out.
 */
export function fill(outline, {world, name, example, current, omit}) {
	return build(outline, []);

	function build(v, path) {
		if (path.length && omit(path.filter(k => typeof k === 'string').join('.')))
			return OMIT;
		const own = chosen(v, path);
		if (own !== undefined)
			return own;
		if (Array.isArray(v))
			return v.map((x, i) => build(x, [...path, i])).filter(x => x !== OMIT);
		if (v && typeof v === 'object') {
			const entries = Object.entries(v).map(([k, x]) => [keyName(k, path), build(x, [...path, k])]);
			return Object.fromEntries(entries.filter(([, x]) => x !== OMIT));
		}
		return v === null ? `${path.filter(k => typeof k === 'string').pop()} of ${name}` : v;
	}
	function keyName(k, path) {
		return path.at(-1) === 'userAssignedIdentities' ? world.identity : k;
	}
	function chosen(v, path) {
		const field = path.filter(k => typeof k === 'string').join('.').replace(/^properties\./, '');
		const index = path.filter(k => typeof k === 'number').pop() ?? 0;
		const fixed = current && immutable.test(field) ? at(current, path) : undefined;
		if (fixed !== undefined && (typeof fixed !== 'object' || v === null))
			return fixed;
		for (const [re, choose] of table)
			if (re.test(field) && (v === null || choose.always))
				return typeof choose === 'function' ? choose({world, name, example, index, field, current}) : choose;
		return undefined;
	}
}

const at = (v, path) => path.reduce((x, k) => x?.[k], v);

// What a PATCH repeats must be what is.
const immutable = /^(osType|osState|hyperVGeneration|supportedOSType|identifier\.(publisher|offer|sku)|storageProfile\.source\.id)$/;

const always = f => Object.assign(f, {always: true});
const table = [
	[/^location$|distribute\.location$/, () => 'eastus'],
	[/targetRegions\.name$/, ({world, index}) => world.regions[index]],
	[/(regionalReplicaCount|replicaCount)$/, () => 1],
	[/targetRegions\.storageAccountType$/, always(() => 'Standard_LRS')],
	[/endOfLifeDate$/, () => '2040-01-01T00:00:00Z'],
	[/(privacyStatementUri|releaseNoteUri|publisherUri)$/, () => 'https://example.com/page'],
	[/publisherContact$/, () => 'images@example.com'],
	[/publicNamePrefix$/, () => 'golden'],
	[/^identifier\.(publisher|offer)$/, () => 'conformance'],
	[/^identifier\.sku$/, ({name}) => name],
	[/^purchasePlan\.promotionCode$/, () => 'none'],
	// versions
	[/^storageProfile\.source\.id$/, ({world, example}) => (/WithImageVersion/.test(example) ? world.versionId : world.imageId)],
	[/^storageProfile\.source\.communityGalleryImageId$/, ({world}) => world.communityVersionId],
	[/^storageProfile\.(osDiskImage|dataDiskImages)\.source\.id$/, ({world, field}) => (field.includes('data') ? world.dataSnapshotId : world.snapshotId)],
	[/storageAccountId$/, ({world}) => `${world.group}/providers/Microsoft.Storage/storageAccounts/vhds`],
	[/virtualMachineId$|sourceVirtualMachine\.id$/, ({world}) => `${world.group}/providers/Microsoft.Compute/virtualMachines/vm`],
	[/source\.uri$|blobUri$|sourceUri$|securityDataUri$/, ({world, field}) => (/^(storageProfile\.)?data/i.test(field) ? world.vhdOfData : world.vhd)],
	[/\blun$/, ({index}) => index + 1],
	[/[dD]iskEncryptionSet(Id|\.id)$/, ({world}) => `${world.group}/providers/Microsoft.Compute/diskEncryptionSets/set`],
	// applications
	[/mediaLink$/, () => process.env.PACKAGE],
	[/manageActions\.(install|remove|update)$/, ({field}) => `./${field.split('.').pop()}.sh`],
	[/parameters\.(required|defaultValue)$/, ({field}) => (field.endsWith('required') ? false : 'none')],
	// templates
	[/^source\.imageId$/, ({world}) => world.imageId],
	[/^distribute\.imageId$/, ({world, name}) => `${world.group}/providers/Microsoft.Compute/images/${name}`],
	[/^distribute\.runOutputName$/, ({name}) => `${name}-out`],
	[/customize\.scriptUri$/, () => 'https://example.com/script.sh'],
	[/customize\.updateLimit$/, () => 20],
	[/validExitCodes$/, ({index}) => [0, 3010][index]],
	[/customize\.name$/, ({index}) => `Step ${index + 1} (of an example)`],
	[/customize\.restartTimeout$/, () => '5m'],
	[/vmProfile\.vmSize$/, () => 'Standard_D2s_v3'],
	[/(osDiskSizeGB|diskSizeGB)$/, ({current}) => current?.properties?.diskSizeGB ?? 4],
	[/(subnetId|containerInstanceSubnetId)$/, ({world}) => `${world.group}/providers/Microsoft.Network/virtualNetworks/net/subnets/sub`],
	// images, disks, snapshots
	[/(snapshot\.id|managedDisk\.id)$/, ({world, field}) => (/data/i.test(field) ? world.dataOf : world.osOf)[/snapshot/.test(field) ? 'snapshot' : 'disk']],
	[/creationData\.sourceResourceId$/, ({world, example}) => (/Snapshot/i.test(example) ? world.snapshotId : world.diskId)],
	[/creationData\.uploadSizeBytes$/, () => 67108864 + 512],
	[/creationData\.imageReference\.id$/, ({world}) => world.platformId],
	[/creationData\.galleryImageReference\.id$/, ({world}) => world.versionId],
	[/creationData\.galleryImageReference\.sharedGalleryImageId$/, ({world}) => world.sharedVersionId],
	[/creationData\.galleryImageReference\.communityGalleryImageId$/, ({world}) => world.communityVersionId],
	[/logicalSectorSize$/, () => 512],
	[/diskIOPSReadWrite$|diskMBpsReadWrite$/, () => 125],
	[/diskAccessId$/, ({world}) => `${world.group}/providers/Microsoft.Compute/diskAccesses/access`],
	[/^tier$/, () => 'P30'],
	[/diskControllerTypes$/, () => 'SCSI'],
	[/extendedLocation\.name$/, () => 'edge1'],
	[/^durationInSeconds$/, () => 300],
	[/^osType$/, always(({world}) => world.osType ?? OMIT)],
	// sharing
	[/^groups\.ids$/, always(({world, index}) => [index ? world.tenant : world.subscription])],
	// authorization: one principal an assignment
	[/^roleDefinitionId$/, ({world}) => `/subscriptions/${world.subscription}/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7`],
	[/^principalId$/, ({world, name}) => world.principal(name)],
	[/^principalType$/, always(({world}) => world.principalType)],
	// resources
	[/^subscriptionIds$/, ({world}) => [world.subscription]],
	[/^options$/, () => 'IncludeParameterDefaultValue'],
	[/^resources$/, () => ['*']],
].map(([re, f]) => [re, f]);
