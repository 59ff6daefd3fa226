#!/bin/bash
# Debian's azure-cli, unchanged, against `kiln serve`: login, groups, galleries, templates (one is
# baked), roles, disks, tags, locks, images. Every command's output is looked at.
. "$SRC/tests/integration/lib.sh"
. "$SRC/tests/integration/serve_lib.sh"
. "$SRC/tests/integration/files_lib.sh"
. "$SRC/tests/integration/az_lib.sh"
command -v az >/dev/null || { echo "skip az: azure-cli is not installed"; exit 0; }
setup_gallery && files_start || exit 1
trap 'files_stop; serve_stop 2>/dev/null' EXIT
echo 'a package' >"$T/files/package"
serve_start "$KILN_DATA" || exit 1
SUB=$(jq -r .subscriptionId "$KILN_DATA/admin.json") TENANT=$(jq -r .tenantId "$KILN_DATA/admin.json")
RG=az-$$
LANE=$T
check "cloud registered, logged in" az_login || true
golden=/subscriptions/$SUB$GAL/images/debian-12/versions/1.0.0

account() {
	t "login shows the subscription" '.[0] | .id == $sub and .tenantId == $tenant and .state == "Enabled" and .cloudName == "kiln"' account list
	t "account show" '.id == $sub and .user.type == "servicePrincipal" and .isDefault' account show
	t "account get-access-token" '(.accessToken | split(".") | length) == 3 and .tokenType == "Bearer" and .subscription == $sub' account get-access-token
	t "account list-locations" '[.[] | select(.metadata.regionType == "Physical") | .name] | contains(["eastus", "westeurope"])' account list-locations
	refused "a wrong secret" 'AADSTS7000215|invalid_client' login --service-principal -u "$(jq -r .clientId "$KILN_DATA/admin.json")" -p wrong --tenant "$TENANT" --allow-no-subscriptions
	t "provider list" '[.[] | .namespace] | contains(["Microsoft.Compute", "Microsoft.VirtualMachineImages"])' provider list
	t "provider show" '[.resourceTypes[] | .resourceType] | contains(["galleries", "galleries/images/versions"])' provider show -n Microsoft.Compute
	silent "provider register" provider register -n Microsoft.VirtualMachineImages
}

groups() {
	local g=$RG-g
	t "group create" '.name == "'$g'" and .location == "eastus" and .properties.provisioningState == "Succeeded" and .tags.team == "images"' group create -n "$g" -l eastus --tags team=images
	t "group exists" '. == true' group exists -n "$g"
	t "group exists: no" '. == false' group exists -n "$g-none"
	t "group show, name in capitals" '.name == "'$g'"' group show -n "${g^^}"
	t "group list" '[.[].name] | contains(["'$g'"])' group list
	t "group list --tag" 'length == 1 and .[0].name == "'$g'"' group list --tag team=images
	t "group update" '.tags == {"team": "images", "stage": "test"}' group update -n "$g" --set tags.stage=test
	refused "group create elsewhere: a conflict" 'InvalidResourceGroupLocation|InvalidResourceLocation' group create -n "$g" -l westeurope
	t "activity log: what failed" 'length == 1 and .[0].subStatus.value == "Conflict" and .[0].level == "Error" and (.[0].properties.statusMessage | fromjson | .error.code == "InvalidResourceLocation")' monitor activity-log list --offset 1h -g "$g" --status Failed
	t "activity log: what was done" '[.[] | .operationName.value] | contains(["Microsoft.Resources/subscriptions/resourceGroups/write"])' monitor activity-log list --offset 1h -g "$g" --status Succeeded
	silent "group delete" group delete -n "$g" --yes
	t "group is gone" '. == false' group exists -n "$g"
	refused "group show: gone" 'ResourceGroupNotFound' group show -n "$g"
}

resources() { # what the group of the galleries holds
	local gallery=/subscriptions/$SUB/resourceGroups/$RG/providers/Microsoft.Compute/galleries/azres
	t "resource: a gallery to look at" '.name == "azres"' sig create -g "$RG" -r azres --tags a=b
	t "resource list -g" '[.[] | select(.type == "Microsoft.Compute/galleries") | .name] | contains(["azres"])' resource list -g "$RG"
	t "resource list --tag" '[.[].name] == ["azres"]' resource list --tag a=b
	t "resource list --resource-type" '[.[].type] | unique == ["Microsoft.Compute/galleries"]' resource list --resource-type Microsoft.Compute/galleries
	t "resource show" '.properties.provisioningState == "Succeeded" and .tags.a == "b"' resource show --ids "$gallery"
	t "resource tag" '.tags == {"c": "d"}' resource tag --tags c=d --ids "$gallery"
	t "tag create --resource-id" '.properties.tags == {"e": "f"}' tag create --resource-id "$gallery" --tags e=f
	t "tag update: merge" '.properties.tags == {"e": "f", "g": "h"}' tag update --resource-id "$gallery" --operation merge --tags g=h
	t "tag update: delete" '.properties.tags == {"g": "h"}' tag update --resource-id "$gallery" --operation delete --tags e=f
	t "tag list --resource-id" '.properties.tags == {"g": "h"}' tag list --resource-id "$gallery"
	silent "tag delete --resource-id" tag delete --resource-id "$gallery" --yes
	t "tag list: none" '.properties.tags == {}' tag list --resource-id "$gallery"
	t "lock create" '.level == "CanNotDelete" and .name == "keep"' lock create -n keep -t CanNotDelete -g "$RG" --notes "the team's"
	t "lock list" '[.[] | .name] == ["keep"]' lock list -g "$RG"
	t "lock show" '.notes == "the team'"'"'s"' lock show -n keep -g "$RG"
	refused "a lock stops a delete" 'ScopeLocked' sig delete -g "$RG" -r azres
	silent "lock delete" lock delete -n keep -g "$RG"
	silent "resource delete" resource delete --ids "$gallery"
	refused "resource show: gone" 'ResourceNotFound|not found' resource show --ids "$gallery"
}

galleries() {
	local r=azgal
	t "sig create" '.name == "'$r'" and .provisioningState == "Succeeded" and (.identifier.uniqueName | test("-AZGAL$")) and .description == "golden images"' \
		sig create -g "$RG" -r $r --description "golden images" --tags team=images
	t "sig show" '.description == "golden images" and .tags.team == "images" and .location == "eastus"' sig show -g "$RG" -r $r
	t "sig list" '[.[].name] | contains(["'$r'"])' sig list
	t "sig list -g" '[.[].name] | contains(["'$r'"])' sig list -g "$RG"
	t "sig update" '.tags == {"team": "images", "more": "yes"} and .description == "golden images"' sig update -g "$RG" -r $r --set tags.more=yes
	refused "sig create: a bad name" 'InvalidParameter|InvalidResourceName|BadRequest' sig create -g "$RG" -r 'no-dash'

	t "image-definition create" '.osType == "Linux" and .hyperVGeneration == "V2" and .identifier == {"publisher": "az", "offer": "debian", "sku": "12"}
		and .features[0].value == "TrustedLaunchSupported" and .recommended.memory.max == 64 and (.endOfLifeDate | startswith("2040-01-01"))' \
		sig image-definition create -g "$RG" -r $r -i linux -p az -f debian -s 12 --os-type Linux --os-state Generalized --hyper-v-generation V2 \
		--features SecurityType=TrustedLaunchSupported --minimum-memory 1 --maximum-memory 64 --end-of-life-date 2040-01-01T12:59:59Z --architecture x64
	t "image-definition show" '.name == "linux" and .osState == "Generalized" and .architecture == "x64"' sig image-definition show -g "$RG" -r $r -i linux
	t "image-definition list" '[.[].name] == ["linux"]' sig image-definition list -g "$RG" -r $r
	t "image-definition update" '.description == "hardened"' sig image-definition update -g "$RG" -r $r -i linux --set description=hardened
	refused "image-definition update: immutable" 'PropertyChangeNotAllowed' sig image-definition update -g "$RG" -r $r -i linux --set osType=Windows

	t "image-version create" '.name == "1.0.0" and .provisioningState == "Succeeded" and (.publishingProfile.targetRegions | length) == 2
		and (.publishingProfile.publishedDate | length) > 0 and .storageProfile.osDiskImage.sizeInGb > 0' \
		sig image-version create -g "$RG" -r $r -i linux -e 1.0.0 --image-version "$golden" --target-regions eastus westeurope=1 --replica-count 1
	t "image-version show" '.safetyProfile.allowDeletionOfReplicatedLocations == false and (.publishingProfile.excludeFromLatest | not)' \
		sig image-version show -g "$RG" -r $r -i linux -e 1.0.0
	t "image-version show --expand" '.replicationStatus.aggregatedState == "Completed" and ([.replicationStatus.summary[] | .state] == ["Completed", "Completed"])
		and ([.replicationStatus.summary[] | .progress] == [100, 100])' \
		sig image-version show -g "$RG" -r $r -i linux -e 1.0.0 --expand ReplicationStatus
	t "image-version create, excluded" '.publishingProfile.excludeFromLatest == true' \
		sig image-version create -g "$RG" -r $r -i linux -e 1.10.0 --image-version "$golden" --exclude-from-latest true --end-of-life-date 2040-01-01
	t "image-version list: by number" '[.[].name] == ["1.0.0", "1.10.0"]' sig image-version list -g "$RG" -r $r -i linux
	t "image-version update" '.publishingProfile.excludeFromLatest == false' sig image-version update -g "$RG" -r $r -i linux -e 1.10.0 --set publishingProfile.excludeFromLatest=false
	t "image-version update: a region more" '[.publishingProfile.targetRegions[].name | ascii_downcase | gsub(" "; "")] | sort == ["eastus", "westeurope"]' \
		sig image-version update -g "$RG" -r $r -i linux -e 1.10.0 --add publishingProfile.targetRegions name=westeurope
	silent "image-version wait" sig image-version wait -g "$RG" -r $r -i linux -e 1.10.0 --created --timeout 30
	refused "image-version create: a bad number" 'InvalidParameter|InvalidResourceName|GalleryImageVersion' sig image-version create -g "$RG" -r $r -i linux -e 1.0 --image-version "$golden"
	refused "image-definition delete: not empty" 'CannotDeleteResource' sig image-definition delete -g "$RG" -r $r -i linux
	silent "image-version delete" sig image-version delete -g "$RG" -r $r -i linux -e 1.10.0
	refused "image-version show: gone" 'ResourceNotFound' sig image-version show -g "$RG" -r $r -i linux -e 1.10.0
}

sharing() {
	local unique name
	t "sig create --permissions groups" '.sharingProfile.permissions == "Groups"' sig create -g "$RG" -r azshared --permissions groups
	unique=$(got .identifier.uniqueName)
	t "sig share add" '.operationType == "Add"' sig share add -g "$RG" -r azshared --subscription-ids "$SUB" --tenant-ids "$TENANT"
	t "sig show --sharing-groups" '[.sharingProfile.groups[] | .type] | sort == ["AADTenants", "Subscriptions"]' sig show -g "$RG" -r azshared --select Permissions --sharing-groups
	t "shared: definition" '.name == "linux"' sig image-definition create -g "$RG" -r azshared -i linux -p az -f debian -s shared --os-type Linux --hyper-v-generation V2
	t "shared: version" '.name == "1.0.0"' sig image-version create -g "$RG" -r azshared -i linux -e 1.0.0 --image-version "$golden"
	t "sig list-shared" '[.[].name] | contains(["'"$unique"'"])' sig list-shared -l eastus
	t "sig show-shared" '.name == "'"$unique"'" and (.uniqueId | ascii_downcase | startswith("/sharedgalleries/"))' sig show-shared -l eastus --gallery-unique-name "$unique"
	t "image-definition list-shared" '[.[].name] == ["linux"]' sig image-definition list-shared -l eastus --gallery-unique-name "$unique"
	t "image-definition show-shared" '.osType == "Linux" and .identifier.sku == "shared"' sig image-definition show-shared -l eastus --gallery-unique-name "$unique" -i linux
	t "image-version list-shared" '[.[].name] == ["1.0.0"]' sig image-version list-shared -l eastus --gallery-unique-name "$unique" -i linux
	t "image-version show-shared" '.name == "1.0.0" and (.publishedDate | length) > 0' sig image-version show-shared -l eastus --gallery-unique-name "$unique" -i linux -e 1.0.0
	t "sig share remove" '.operationType == "Remove"' sig share remove -g "$RG" -r azshared --tenant-ids "$TENANT"
	silent "sig share wait" sig share wait -g "$RG" -r azshared --updated --timeout 30
	t "sig share reset" '.operationType == "Reset"' sig share reset -g "$RG" -r azshared
	t "sig list-shared: no more" '[.[].name] | contains(["'"$unique"'"]) | not' sig list-shared -l eastus

	t "sig create --permissions community" '.sharingProfile.permissions == "Community"' sig create -g "$RG" -r azcomm --permissions community \
		--publisher-uri https://example.com --publisher-email images@example.com --eula none --public-name-prefix golden
	t "sig share enable-community" '.operationType == "EnableCommunity"' sig share enable-community -g "$RG" -r azcomm
	t "community: public name" '.sharingProfile.communityGalleryInfo | .communityGalleryEnabled and (.publicNames[0] | startswith("golden-"))' sig show -g "$RG" -r azcomm
	name=$(got '.sharingProfile.communityGalleryInfo.publicNames[0]')
	t "community: definition" '.name == "linux"' sig image-definition create -g "$RG" -r azcomm -i linux -p az -f debian -s community --os-type Linux --hyper-v-generation V2
	t "community: version" '.name == "1.0.0"' sig image-version create -g "$RG" -r azcomm -i linux -e 1.0.0 --image-version "$golden"
	t "sig show-community" '.name == "'"$name"'"' sig show-community -l eastus --public-gallery-name "$name"
	t "sig list-community" '[.. | .name? // empty] | contains(["'"$name"'"])' sig list-community -l eastus
	t "image-definition list-community" '[.[].name] == ["linux"]' sig image-definition list-community -l eastus --public-gallery-name "$name"
	t "image-definition show-community" '.osType == "Linux"' sig image-definition show-community -l eastus --public-gallery-name "$name" -i linux
	t "image-version list-community" '[.[].name] == ["1.0.0"]' sig image-version list-community -l eastus --public-gallery-name "$name" -i linux
	t "image-version show-community" '.name == "1.0.0"' sig image-version show-community -l eastus --public-gallery-name "$name" -i linux -e 1.0.0
	refused "a community gallery is not deleted" 'OperationNotAllowed|CannotDelete|Conflict' sig delete -g "$RG" -r azcomm
	t "community: reset" '.operationType == "Reset"' sig share reset -g "$RG" -r azcomm
}

applications() {
	local r=azgal package=$FILES_URL/package
	t "gallery-application create" '.supportedOsType == "Linux" or .supportedOSType == "Linux"' sig gallery-application create -g "$RG" -r $r -n agent --os-type linux --description "an agent"
	t "gallery-application list" '[.[].name] == ["agent"]' sig gallery-application list -g "$RG" -r $r
	t "gallery-application show" '.name == "agent" and .description == "an agent"' sig gallery-application show -g "$RG" -r $r -n agent
	t "gallery-application update" '.description == "another"' sig gallery-application update -g "$RG" -r $r -n agent --description another
	silent "gallery-application wait" sig gallery-application wait -g "$RG" -r $r -n agent --exists --timeout 30
	t "application version create" '.name == "1.0.0" and .publishingProfile.manageActions.install == "./install.sh" and .provisioningState == "Succeeded"' \
		sig gallery-application version create -g "$RG" -r $r --application-name agent -n 1.0.0 --package-file-link "$package" \
		--install-command ./install.sh --remove-command ./remove.sh --target-regions '[{"name":"eastus"}]'
	t "application version list" '[.[].name] == ["1.0.0"]' sig gallery-application version list -g "$RG" -r $r --application-name agent
	t "application version show --expand" '.replicationStatus.aggregatedState == "Completed"' sig gallery-application version show -g "$RG" -r $r --application-name agent -n 1.0.0 --expand ReplicationStatus
	t "application version update" '.publishingProfile.excludeFromLatest == true' sig gallery-application version update -g "$RG" -r $r --application-name agent -n 1.0.0 \
		--package-file-link "$package" --exclude-from true
	silent "application version delete" sig gallery-application version delete -g "$RG" -r $r --application-name agent -n 1.0.0 --yes
	silent "gallery-application delete" sig gallery-application delete -g "$RG" -r $r -n agent --yes
}

roles() {
	local scope=/subscriptions/$SUB/resourceGroups/$RG id principal
	id=$(cat /proc/sys/kernel/random/uuid)
	principal=$(cut -d. -f2 <<<"$(jq -r .accessToken <"$LANE/token")" | tr _- /+ | base64 -d 2>/dev/null | jq -r .oid)
	t "rest: role definitions by name" '.value | length == 1 and .[0].name == "acdd72a7-3385-48ef-bd42-f606fba81ae7" and .[0].properties.permissions[0].actions == ["*/read"]' \
		rest -m get -u "$scope/providers/Microsoft.Authorization/roleDefinitions?api-version=2022-04-01&\$filter=roleName%20eq%20'Reader'"
	t "rest: role assignment" '.properties.scope == "'"$scope"'" and .properties.principalId == "'"$principal"'" and .name == "'"$id"'"' \
		rest -m put -u "$scope/providers/Microsoft.Authorization/roleAssignments/$id?api-version=2022-04-01" \
		-b '{"properties":{"roleDefinitionId":"/subscriptions/'"$SUB"'/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7","principalId":"'"$principal"'","principalType":"ServicePrincipal"}}'
	refused "rest: the same assignment again" 'RoleAssignmentExists' \
		rest -m put -u "$scope/providers/Microsoft.Authorization/roleAssignments/$(cat /proc/sys/kernel/random/uuid)?api-version=2022-04-01" \
		-b '{"properties":{"roleDefinitionId":"/subscriptions/'"$SUB"'/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7","principalId":"'"$principal"'"}}'
	t "rest: assignments at the scope" '[.value[].name] | contains(["'"$id"'"])' rest -m get -u "$scope/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01&\$filter=atScope()"
	t "rest: assignment deleted" '.name == "'"$id"'"' rest -m delete -u "$scope/providers/Microsoft.Authorization/roleAssignments/$id?api-version=2022-04-01"
}

identity() { # NAME
	echo "/subscriptions/$SUB/resourceGroups/$RG/providers/Microsoft.ManagedIdentity/userAssignedIdentities/$1"
}
def() {
	echo "/subscriptions/$SUB/resourceGroups/$RG/providers/Microsoft.Compute/galleries/azbuild/images/$1"
}

builder() {
	t "builder: gallery" '.name == "azbuild"' sig create -g "$RG" -r azbuild
	t "builder: definition" '.name == "baked"' sig image-definition create -g "$RG" -r azbuild -i baked -p az -f debian -s baked \
		--os-type Linux --hyper-v-generation V2 --features SecurityType=TrustedLaunchSupported

	# From flags: kept locally until it is whole, then sent, then baked.
	t "builder create --defer" '.properties.source.publisher == "Debian"' image builder create -g "$RG" -n flags --image-source Debian:debian-12:12-gen2:latest \
		--identity "$(identity one)" --build-timeout 30 --tags team=images --defer
	t "customizer add --defer" '.properties.customize[0] == {"type": "Shell", "name": "mark", "inline": ["echo from flags > /etc/from-flags"], "sha256Checksum": ""}' \
		image builder customizer add -g "$RG" -n flags --customizer-name mark --type shell --inline-script 'echo from flags > /etc/from-flags' --defer
	t "customizer add: a second" '[.properties.customize[].name] == ["mark", "sync"]' \
		image builder customizer add -g "$RG" -n flags --customizer-name sync --type shell --inline-script sync --defer
	t "customizer remove" '[.properties.customize[].name] == ["mark"]' image builder customizer remove -g "$RG" -n flags --customizer-name sync --defer
	t "output add --defer" '.properties.distribute[0].runOutputName == "flagged"' image builder output add -g "$RG" -n flags --output-name flagged \
		--gallery-name azbuild --gallery-image-definition baked --gallery-replication-regions eastus westeurope --defer
	t "builder update sends it" '.provisioningState == "Succeeded" and .customize[0].type == "Shell" and .distribute[0].type == "SharedImage"' image builder update -g "$RG" -n flags
	t "builder show" '.source.type == "PlatformImage" and .buildTimeoutInMinutes == 30 and .tags.team == "images" and (.identity.userAssignedIdentities | length) == 1' image builder show -g "$RG" -n flags
	t "builder list" '[.[].name] | contains(["flags"])' image builder list -g "$RG"
	refused "builder cancel: nothing runs" 'OperationNotAllowed|not running' image builder cancel -g "$RG" -n flags
	silent "builder run bakes" image builder run -g "$RG" -n flags
	t "builder show: it succeeded" '.lastRunStatus.runState == "Succeeded" and (.lastRunStatus.endTime | length) > 0' image builder show -g "$RG" -n flags
	t "builder show-runs" '.[0].name == "flagged" and (.[0].artifactId | test("/images/baked/versions/[0-9.]+$"))' image builder show-runs -g "$RG" -n flags
	baked=$(got '.[0].artifactId')
	t "builder show-runs --output-name" '.artifactId == "'"$baked"'" and .provisioningState == "Succeeded"' image builder show-runs -g "$RG" -n flags --output-name flagged
	t "the baked version is replicated" '.provisioningState == "Succeeded" and .replicationStatus.aggregatedState == "Completed"
		and ([.replicationStatus.summary[] | .region | ascii_downcase | gsub(" "; "")] | sort == ["eastus", "westeurope"])' \
		sig image-version show -g "$RG" -r azbuild -i baked -e "${baked##*/}" --expand ReplicationStatus
	t "builder update: tags" '.tags.stage == "test"' image builder update -g "$RG" -n flags --set tags.stage=test
	refused "a template's steps are fixed" 'OperationNotAllowed|Update/Upgrade|cannot be changed|PropertyChangeNotAllowed' \
		image builder update -g "$RG" -n flags --set 'customize[0].name=other'
	t "identity remove" '.type == "None"' image builder identity remove -g "$RG" -n flags --user-assigned --yes
	t "identity assign" '.type == "UserAssigned"' image builder identity assign -g "$RG" -n flags --user-assigned "$(identity two)"
	t "identity show" '.userAssignedIdentities | keys | length == 1' image builder identity show -g "$RG" -n flags
	silent "builder wait" image builder wait -g "$RG" -n flags --created --timeout 30
	silent "builder delete" image builder delete -g "$RG" -n flags
	refused "builder show: gone" 'ResourceNotFound|not found' image builder show -g "$RG" -n flags
}

# Every kind of customizer, sent and taken; a run would need Windows.
builder_windows() {
	t "windows: builder create --defer" '.properties.source.publisher == "Debian"' image builder create -g "$RG" -n windows --image-source Debian:debian-12:12-gen2:latest \
		--identity "$(identity one)" --defer
	t "customizer add: PowerShell" '.properties.customize[0] | .type == "PowerShell" and .validExitCodes == [0, 3010]' image builder customizer add -g "$RG" -n windows \
		--customizer-name ps --type powershell --inline-script 'Write-Output x' --exit-codes 0 3010 --defer
	t "customizer add: WindowsRestart" '.properties.customize[1].restartTimeout == "10m"' image builder customizer add -g "$RG" -n windows \
		--customizer-name again --type windows-restart --restart-command 'shutdown /r /f /t 0' --restart-check-command 'exit 0' --restart-timeout 10m --defer
	t "customizer add: WindowsUpdate" '.properties.customize[2].updateLimit == 20' image builder customizer add -g "$RG" -n windows \
		--customizer-name updates --type windows-update --search-criteria IsInstalled=0 --filters 'exclude:$_.Title -like "*Preview*"' 'include:$true' --update-limit 20 --defer
	t "windows: output add" '.properties.distribute[0].runOutputName == "out"' image builder output add -g "$RG" -n windows --output-name out \
		--gallery-name azgal --gallery-image-definition windows --gallery-replication-regions eastus --defer
	t "windows: builder update sends it" '.provisioningState == "Succeeded" and [.customize[].type] == ["PowerShell", "WindowsRestart", "WindowsUpdate"]' \
		image builder update -g "$RG" -n windows
	silent "windows: builder delete" image builder delete -g "$RG" -n windows
}

builder_file() {
	jq -n --arg id "$(identity one)" --arg image "$(def baked)" --arg img "/subscriptions/$SUB/resourceGroups/$RG/providers/Microsoft.Compute/images/frombuild" '
		{type: "Microsoft.VirtualMachineImages/imageTemplates", location: "eastus", tags: {from: "file"},
		identity: {type: "UserAssigned", userAssignedIdentities: {($id): {}}}, properties: {
		source: {type: "PlatformImage", publisher: "Debian", offer: "debian-12", sku: "12-gen2", version: "latest"},
		customize: [{type: "Shell", name: "mark", inline: ["echo from a file > /etc/from-file"]}],
		distribute: [{type: "SharedImage", runOutputName: "version", galleryImageId: "\($image)/versions/7.0.0", targetRegions: [{name: "eastus"}]},
			{type: "ManagedImage", runOutputName: "image", imageId: $img, location: "eastus"}]}}' >"$LANE/template.json"
	t "builder create --image-template" '.provisioningState == "Succeeded" and .tags.from == "file" and [.distribute[].type] == ["SharedImage", "ManagedImage"]' \
		image builder create -g "$RG" -n file --image-template "$LANE/template.json"
	silent "builder run: two targets" image builder run -g "$RG" -n file
	t "both outputs are there" '[.[].name] | sort == ["image", "version"]' image builder show-runs -g "$RG" -n file
	t "the version has the number asked for" '.name == "7.0.0"' sig image-version show -g "$RG" -r azbuild -i baked -e 7.0.0

	jq '.properties.customize = [{type: "Shell", name: "slow", inline: ["sleep 600"]}]
		| .properties.distribute = [.properties.distribute[0] | .galleryImageId |= sub("7.0.0"; "8.0.0")]' "$LANE/template.json" >"$LANE/slow.json"
	t "a slow template" '.customize[0].name == "slow"' image builder create -g "$RG" -n slow --image-template "$LANE/slow.json"
	silent "builder run --no-wait" image builder run -g "$RG" -n slow --no-wait
	refused "builder delete: it runs" 'OperationNotAllowed|AnotherOperationInProgress' image builder delete -g "$RG" -n slow
	silent "builder cancel" image builder cancel -g "$RG" -n slow
	silent "wait for the end" image builder wait -g "$RG" -n slow --timeout 60 --interval 1 --custom "lastRunStatus.runState=='Canceled'"
	refused "a cancelled run makes no version" 'ResourceNotFound' sig image-version show -g "$RG" -r azbuild -i baked -e 8.0.0
	silent "builder delete: after it" image builder delete -g "$RG" -n slow
}

disks() {
	local url size=$((64 * 1024 * 1024 + 512))
	t "disk create: empty" '.diskState == "Unattached" and .diskSizeGb == 1 and .creationData.createOption == "Empty" and .provisioningState == "Succeeded"' \
		disk create -g "$RG" -n empty --size-gb 1 --os-type Linux --hyper-v-generation V2
	t "disk show" '.name == "empty" and .osType == "Linux" and (.uniqueId | length) == 36' disk show -g "$RG" -n empty
	t "disk list" '[.[].name] | contains(["empty"])' disk list -g "$RG"
	t "disk update" '.diskSizeGb == 2 and .tags.a == "b"' disk update -g "$RG" -n empty --size-gb 2 --set tags.a=b
	refused "disk update: smaller" 'OperationNotAllowed|shrink|smaller|InvalidParameter' disk update -g "$RG" -n empty --size-gb 1
	t "disk create: from a version" '.creationData.createOption == "FromImage" and .osType == "Linux" and .hyperVGeneration == "V2"' \
		disk create -g "$RG" -n fromversion --gallery-image-reference "$golden"
	t "disk create: for upload" '.diskState == "ReadyToUpload"' disk create -g "$RG" -n upload --upload-type Upload --upload-size-bytes $size --os-type Linux
	t "disk grant-access: write" '.accessSas | test("^https://.*[?].*sig=")' disk grant-access -g "$RG" -n upload --access-level Write --duration-in-seconds 600
	url=$(got .accessSas)
	refused "disk delete: access is active" 'OperationNotAllowed|Conflict|ActiveUpload|access' disk delete -g "$RG" -n upload --yes
	vhd "$size" >"$LANE/disk.vhd"
	check "upload of a VHD by its URL" put_pages "$url" "$LANE/disk.vhd" "$size"
	silent "disk revoke-access" disk revoke-access -g "$RG" -n upload
	t "the upload is a disk" '.diskState == "Unattached" and .provisioningState == "Succeeded"' disk show -g "$RG" -n upload
	t "snapshot create" '.creationData.createOption == "Copy" and .provisioningState == "Succeeded" and .diskSizeGb == 2' snapshot create -g "$RG" -n snap --source empty
	t "snapshot show" '.name == "snap"' snapshot show -g "$RG" -n snap
	t "snapshot list" '[.[].name] == ["snap"]' snapshot list -g "$RG"
	t "snapshot update" '.tags.a == "b"' snapshot update -g "$RG" -n snap --set tags.a=b
	t "snapshot grant-access: read" '.accessSas | length > 0' snapshot grant-access -g "$RG" -n snap --duration-in-seconds 600
	check "the snapshot is downloaded as a VHD" downloaded "$(got .accessSas)" $((2 * 1024 * 1024 * 1024 + 512))
	silent "snapshot revoke-access" snapshot revoke-access -g "$RG" -n snap
	t "image-version create: from a snapshot" '.name == "3.0.0" and .provisioningState == "Succeeded" and .storageProfile.osDiskImage.sizeInGb == 2' \
		sig image-version create -g "$RG" -r azgal -i linux -e 3.0.0 --os-snapshot "/subscriptions/$SUB/resourceGroups/$RG/providers/Microsoft.Compute/snapshots/snap"
	silent "snapshot delete" snapshot delete -g "$RG" -n snap
	silent "disk delete" disk delete -g "$RG" -n empty --yes
	refused "disk show: gone" 'ResourceNotFound' disk show -g "$RG" -n empty
}

# A fixed VHD of zeros with one word in it: the payload and a footer of 512 bytes.
vhd() { # BYTES
	node -e '
		const size = BigInt(process.argv[1]) - 512n, f = Buffer.alloc(512);
		f.write("conectix"); f.writeUInt32BE(2, 8); f.writeUInt32BE(0x10000, 12); f.writeBigUInt64BE(0xffffffffffffffffn, 16);
		f.write("kiln", 28); f.writeUInt32BE(0x10000, 32); f.writeBigUInt64BE(size, 40); f.writeBigUInt64BE(size, 48);
		f.writeUInt32BE(0x03ff0c11, 56); f.writeUInt32BE(2, 60); f.fill(7, 68, 84);
		f.writeUInt32BE(~f.reduce((a, b) => a + b, 0) >>> 0, 64);
		process.stdout.write(Buffer.concat([Buffer.from("in the first sector".padEnd(512, "\0")), Buffer.alloc(Number(size) - 512), f]));' "$1"
}
# What a blob client does: pages of 4 MiB that are not zero, and the footer.
put_pages() { # URL FILE BYTES
	local put=(curl -fsS --cacert "$REQUESTS_CA_BUNDLE" -X PUT -H 'x-ms-version: 2021-12-02' -H 'x-ms-page-write: update' --data-binary @-)
	head -c 512 "$2" | "${put[@]}" -H 'x-ms-range: bytes=0-511' "$1&comp=page" &&
		tail -c 512 "$2" | "${put[@]}" -H "x-ms-range: bytes=$(($3 - 512))-$(($3 - 1))" "$1&comp=page"
}
downloaded() { # URL BYTES
	curl -fsS --cacert "$REQUESTS_CA_BUNDLE" -I -H 'x-ms-version: 2021-12-02' "$1" | tr -d '\r' | grep -ix "content-length: $2" &&
		curl -fsS --cacert "$REQUESTS_CA_BUNDLE" -r "$(($2 - 512))-$(($2 - 505))" "$1" | grep -qx conectix
}

hybrid() { # what Debian's azure-cli offers under its hybrid profile alone
	az cloud set -n kiln --profile 2020-09-01-hybrid >/dev/null 2>&1
	t "hybrid: image create from a disk" '.name == "fromdisk" and .storageProfile.osDisk.osType == "Linux" and .provisioningState == "Succeeded"' \
		image create -g "$RG" -n fromdisk --source fromversion --os-type Linux --hyper-v-generation V2
	t "hybrid: image show" '.hyperVgeneration == "V2" or .hyperVGeneration == "V2"' image show -g "$RG" -n fromdisk
	t "hybrid: image list" '[.[].name] | contains(["fromdisk"])' image list -g "$RG"
	t "hybrid: image update" '.tags.a == "b"' image update -g "$RG" -n fromdisk --tags a=b
	t "hybrid: sig list" '[.[].name] | contains(["azgal"])' sig list -g "$RG"
	silent "hybrid: image delete" image delete -g "$RG" -n fromdisk
	refused "hybrid: image show: gone" 'ResourceNotFound|not found' image show -g "$RG" -n fromdisk
}

lane() { # NAME FUNCTION...: one command after the other, beside the other lane
	local name=$1 f start
	shift
	(
		az_lane "$name"
		az account get-access-token -o json >"$LANE/token" 2>/dev/null
		for f in "$@"; do
			start=$SECONDS
			$f
			echo "  $f: $((SECONDS - start)) s"
		done
	) >"$T/$name.log" 2>&1
}

check "group for all of it" az group create -n "$RG" -l eastus -o none
lane one builder builder_windows builder_file account roles &
lane two galleries sharing applications disks resources groups hybrid
wait $!
cat "$T/one.log" "$T/two.log"
check "group delete takes all of it" az group delete -n "$RG" --yes -o none
trap files_stop EXIT
check "it is gone" same false "$(az group exists -n "$RG" -o tsv)"
check "the server ends by itself" serve_stop
