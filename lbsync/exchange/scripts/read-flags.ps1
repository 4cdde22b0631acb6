# read-flags (local tier): sslFlags of some locations, own and effective, and the state of some pools. Changes nothing.
# Windows PowerShell 4.0. [u] marks what has not been verified on a real server.
param($p)

Import-Module WebAdministration
$config = New-Object Xml.XmlDocument
$config.XmlResolver = $null
$config.Load("$env:windir\System32\inetsrv\config\applicationHost.config")

# The own value stands in a location element of that path (names compare without case; the last one wins), or nowhere.
function Get-OwnFlags([string]$Location) {
    $own = $null
    foreach ($element in @($config.DocumentElement.SelectNodes('location'))) {
        if (-not $element.GetAttribute('path').Equals($Location, [StringComparison]::OrdinalIgnoreCase)) { continue }
        $access = $element.SelectSingleNode('system.webServer/security/access')
        if ($null -ne $access -and $access.HasAttribute('sslFlags')) { $own = $access.GetAttribute('sslFlags') }
    }
    $own
}

$vdirs = @()
foreach ($location in @($p['locations'])) {
    $flags = Get-WebConfigurationProperty -PSPath 'MACHINE/WEBROOT/APPHOST' -Location $location -Filter 'system.webServer/security/access' -Name 'sslFlags'
    # A flags attribute comes as text, another kind wrapped in an object with a Value [u].
    if ($null -ne $flags -and $flags -isnot [string]) { $flags = $flags.Value }
    $vdirs += @{ location = [string]$location; own = (Get-OwnFlags $location); effective = [string]$flags }
}
$pools = @()
foreach ($name in @($p['pools'])) {
    $pools += @{ name = [string]$name; state = [string](Get-WebAppPoolState -Name $name).Value }
}
@{ vdirs = $vdirs; pools = $pools }
