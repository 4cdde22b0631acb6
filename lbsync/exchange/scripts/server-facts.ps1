# server-facts (local tier): everything local about one server, read once, in one answer. Changes nothing.
# Windows PowerShell 4.0. [u] marks what has not been verified on a real server.
param($p)

Import-Module WebAdministration
$site = 'Default Web Site'
$vdirs = @('owa', 'ecp', 'EWS', 'Autodiscover', 'Microsoft-Server-ActiveSync', 'Microsoft-Server-ActiveSync/Proxy', 'OAB', 'mapi', 'Rpc')
$setupKey = 'HKLM:\SOFTWARE\Microsoft\ExchangeServer\v15'

# --- version: the registry shows the cumulative update, only ExSetup.exe shows the security update -------------------------
$setup = Get-ItemProperty -Path "$setupKey\Setup"
$version = '{0}.{1}.{2}.{3}' -f $setup.MsiProductMajor, $setup.MsiProductMinor, $setup.MsiBuildMajor, $setup.MsiBuildMinor
$exSetup = [Diagnostics.FileVersionInfo]::GetVersionInfo([IO.Path]::Combine([string]$setup.MsiInstallPath, 'bin', 'ExSetup.exe'))
$running = @(Get-Process -Name 'ExSetup', 'ExSetupUI' -ErrorAction SilentlyContinue).Count -gt 0
# A role whose set-up did not end keeps a value named Action or Watermark below its key.
$incomplete = $false
foreach ($role in @(Get-ChildItem -Path $setupKey)) {
    $names = @($role.GetValueNames())
    if ($names -contains 'Action' -or $names -contains 'Watermark') { $incomplete = $true }
}

# --- who asks, and the registry value that breaks Extended Protection ------------------------------------------------------
$identity = New-Object Security.Principal.WindowsPrincipal ([Security.Principal.WindowsIdentity]::GetCurrent())
$administrator = $identity.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)
$lsa = Get-ItemProperty -Path 'HKLM:\SYSTEM\CurrentControlSet\Control\Lsa'
$suppress = 0
if ($null -ne $lsa.SuppressExtendedProtection) { $suppress = [int]$lsa.SuppressExtendedProtection }

# --- applicationHost.config, reduced to what is judged ---------------------------------------------------------------------
$source = New-Object Xml.XmlDocument
$source.XmlResolver = $null
$source.Load("$env:windir\System32\inetsrv\config\applicationHost.config")
$pruned = New-Object Xml.XmlDocument
$pruned.XmlResolver = $null
[void]$pruned.AppendChild($pruned.CreateElement('configuration'))

# Copies the element at $Path below $From to the same place below $To, making the elements between.
function Copy-Section($From, $To, [string[]]$Path) {
    $here = $From
    foreach ($name in $Path) {
        $here = $here.SelectSingleNode($name)
        if ($null -eq $here) { return }
    }
    for ($depth = 0; $depth -lt $Path.Count - 1; $depth++) {
        $next = $To.SelectSingleNode($Path[$depth])
        if ($null -eq $next) { $next = $To.AppendChild($To.OwnerDocument.CreateElement($Path[$depth])) }
        $To = $next
    }
    [void]$To.AppendChild($To.OwnerDocument.ImportNode($here, $true))
}

$root = $source.DocumentElement
Copy-Section $root $pruned.DocumentElement @('system.applicationHost', 'sites')
Copy-Section $root $pruned.DocumentElement @('system.webServer', 'security', 'access')
Copy-Section $root $pruned.DocumentElement @('system.webServer', 'security', 'authentication')
foreach ($location in @($root.SelectNodes('location'))) {
    $path = $location.GetAttribute('path')
    $below = $path.StartsWith("$site/", [StringComparison]::OrdinalIgnoreCase)
    if (-not $below -and -not $path.Equals($site, [StringComparison]::OrdinalIgnoreCase)) { continue }
    $copy = $pruned.CreateElement('location')
    $copy.SetAttribute('path', $path)
    Copy-Section $location $copy @('system.webServer', 'security', 'access')
    Copy-Section $location $copy @('system.webServer', 'security', 'authentication')
    Copy-Section $location $copy @('system.webServer', 'httpRedirect')
    [void]$pruned.DocumentElement.AppendChild($copy)
}

# --- what IIS itself answers, own and inherited values merged, web.config included -----------------------------------------
$existing = @('')
foreach ($vdir in $vdirs) {
    if (Test-Path -Path ('IIS:\Sites\{0}\{1}' -f $site, $vdir.Replace('/', '\'))) { $existing += $vdir }
}
$hasRewrite = $null -ne (Get-WebGlobalModule | Where-Object { $_.Name -eq 'RewriteModule' })
$effective = @()
$redirects = @()
$rewrites = @()
foreach ($vdir in $existing) {
    $location = "$site/$vdir".TrimEnd('/')
    $where = @{ PSPath = 'MACHINE/WEBROOT/APPHOST'; Location = $location }
    $flags = Get-WebConfigurationProperty @where -Filter 'system.webServer/security/access' -Name 'sslFlags'
    $token = Get-WebConfigurationProperty @where -Filter 'system.webServer/security/authentication/windowsAuthentication' -Name 'extendedProtection.tokenChecking'
    # A flags attribute comes as text, another kind wrapped in an object with a Value [u].
    if ($null -ne $flags -and $flags -isnot [string]) { $flags = $flags.Value }
    if ($null -ne $token -and $token -isnot [string]) { $token = $token.Value }
    $effective += @{ location = $location; ssl_flags = [string]$flags; token_checking = [string]$token }

    $merged = "MACHINE/WEBROOT/APPHOST/$location"
    $redirect = Get-WebConfiguration -PSPath $merged -Filter 'system.webServer/httpRedirect'
    if ($null -ne $redirect -and $redirect.enabled) {
        $redirects += @{ location = $location; destination = [string]$redirect.destination }
    }
    if ($hasRewrite) {
        foreach ($rule in @(Get-WebConfiguration -PSPath $merged -Filter 'system.webServer/rewrite/rules/rule')) {
            if ($null -ne $rule) { $rewrites += @{ location = $location; name = [string]$rule.name } }
        }
    }
}

# Bindings carry their certificate in HTTP.SYS, not in applicationHost.config.
$bindings = @()
foreach ($binding in @(Get-WebBinding)) {
    $owner = [regex]::Match([string]$binding.ItemXPath, "@name='([^']*)'").Groups[1].Value
    $hash = ([string]$binding.certificateHash).ToUpperInvariant()
    if ($hash -eq '') { $hash = $null }
    $bindings += @{ site = $owner; protocol = [string]$binding.protocol; information = [string]$binding.bindingInformation; thumbprint = $hash }
}
$pools = @()
foreach ($pool in @(Get-ChildItem -Path 'IIS:\AppPools')) { $pools += @{ name = [string]$pool.Name; state = [string]$pool.state } }

# --- component states: one value per requester, "1:<0|1>:<ticks>"; one requester's 0 makes it inactive [u] ------------------
$components = @()
foreach ($key in @(Get-ChildItem -Path "$setupKey\ServerComponentStates" -ErrorAction SilentlyContinue)) {
    $state = 'Active'
    foreach ($name in @($key.GetValueNames())) {
        $parts = ([string]$key.GetValue($name)).Split(':')
        if ($parts.Count -ge 2 -and $parts[1] -eq '0') { $state = 'Inactive' }
    }
    $components += @{ component = [string]$key.PSChildName; state = $state }
}

# --- certificates of the machine that have a private key -------------------------------------------------------------------
$certificates = @()
$store = New-Object Security.Cryptography.X509Certificates.X509Store ('My', [Security.Cryptography.X509Certificates.StoreLocation]::LocalMachine)
$store.Open([Security.Cryptography.X509Certificates.OpenFlags]::ReadOnly)
foreach ($certificate in @($store.Certificates)) {
    if (-not $certificate.HasPrivateKey) { continue }
    # A key of the old providers tells here; a CNG key throws or gives nothing, and stays unknown.
    $exportable = $null
    try {
        if ($null -ne $certificate.PrivateKey.CspKeyContainerInfo) { $exportable = [bool]$certificate.PrivateKey.CspKeyContainerInfo.Exportable }
    }
    catch { $exportable = $null }
    $certificates += @{
        thumbprint      = [string]$certificate.Thumbprint
        raw             = [Convert]::ToBase64String($certificate.RawData)
        has_private_key = $true
        exportable      = $exportable
    }
}
$store.Close()

@{
    server                       = [string]$env:COMPUTERNAME
    fqdn                         = [string][Net.Dns]::GetHostEntry('').HostName
    setup_version                = $version
    exsetup_version              = [string]$exSetup.FileVersion
    setup_running                = $running
    setup_incomplete             = $incomplete
    administrator                = [bool]$administrator
    suppress_extended_protection = $suppress
    config                       = [string]$pruned.OuterXml
    effective                    = $effective
    redirects                    = $redirects
    rewrites                     = $rewrites
    bindings                     = $bindings
    pools                        = $pools
    components                   = $components
    certificates                 = $certificates
}
