# set-require-ssl (local tier): own sslFlags of some locations, the recycle of just their pools, and a read-back.
# Writes to applicationHost.config only. Twice is once. Windows PowerShell 4.0. [u]: not verified on a real server.
param($p)

Import-Module WebAdministration
$filter = 'system.webServer/security/access'

# The own value stands in a location element of that path (names compare without case; the last one wins), or nowhere.
function Get-OwnFlags([string]$Location) {
    $config = New-Object Xml.XmlDocument
    $config.XmlResolver = $null
    $config.Load("$env:windir\System32\inetsrv\config\applicationHost.config")
    $own = $null
    foreach ($element in @($config.DocumentElement.SelectNodes('location'))) {
        if (-not $element.GetAttribute('path').Equals($Location, [StringComparison]::OrdinalIgnoreCase)) { continue }
        $access = $element.SelectSingleNode('system.webServer/security/access')
        if ($null -ne $access -and $access.HasAttribute('sslFlags')) { $own = $access.GetAttribute('sslFlags') }
    }
    $own
}

foreach ($change in @($p['changes'])) {
    # Rpc belongs to Set-OutlookAnywhere, and only the front end is ours; IIS takes a wrong location without a word [u].
    $location = [string]$change['location']
    if (-not $location.StartsWith('Default Web Site/', [StringComparison]::OrdinalIgnoreCase) -or $location -eq 'Default Web Site/Rpc') {
        throw "refused: $location is not a location whose Require SSL is set in IIS"
    }
    if (-not (Test-Path -Path ('IIS:\Sites\' + $location.Replace('/', '\')))) { throw "there is no $location on this server" }
    $where = @{ PSPath = 'MACHINE/WEBROOT/APPHOST'; Location = $location; Filter = $filter }
    if ($null -eq $change['own']) {
        # sslFlags is the only attribute of the section: clearing the section at this location clears just that [u].
        if ($null -ne (Get-OwnFlags $location)) { Clear-WebConfiguration @where }
    }
    else {
        Set-WebConfigurationProperty @where -Name 'sslFlags' -Value ([string]$change['own']).Replace(' ', '')
    }
}

$recycled = @()
foreach ($name in @($p['recycle'])) {
    # A pool that somebody stopped stays stopped: it holds no old setting, and starting it is not ours to decide.
    if ((Get-WebAppPoolState -Name $name).Value -eq 'Started') {
        Restart-WebAppPool -Name $name
        $recycled += [string]$name
    }
}

$vdirs = @()
foreach ($change in @($p['changes'])) {
    $location = [string]$change['location']
    $flags = Get-WebConfigurationProperty -PSPath 'MACHINE/WEBROOT/APPHOST' -Location $location -Filter $filter -Name 'sslFlags'
    if ($null -ne $flags -and $flags -isnot [string]) { $flags = $flags.Value }
    $vdirs += @{ location = $location; own = (Get-OwnFlags $location); effective = [string]$flags }
}
$pools = @()
foreach ($name in @($p['recycle'])) {
    $pools += @{ name = [string]$name; state = [string](Get-WebAppPoolState -Name $name).Value }
}
@{ vdirs = $vdirs; pools = $pools; recycled = $recycled }
