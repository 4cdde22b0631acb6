# certificate-uses (exchange tier): who names which certificate, besides IIS. Changes nothing; everyday reads do without it.
# Windows PowerShell 4.0. [u] marks what has not been verified on a real server.
param($p)

# >>> inner session: the same lines in every script of this tier (a test compares them)
# Opens a session to the server itself: Connect-ExchangeServer -Auto may pick another, a snap-in would go round RBAC.
function Open-Exchange($Exchange) {
    $connection = @{
        ConfigurationName = 'Microsoft.Exchange'
        ConnectionUri     = 'http://{0}/PowerShell/' -f $Exchange['server']
        Authentication    = 'Kerberos'
    }
    if ($Exchange['user']) {
        # Character by character: module logging (event 4103) keeps what a cmdlet is given, not what .NET is.
        $secret = New-Object Security.SecureString
        foreach ($character in ([string]$Exchange['password']).ToCharArray()) { $secret.AppendChar($character) }
        $secret.MakeReadOnly()
        $connection['Credential'] = New-Object Management.Automation.PSCredential ([string]$Exchange['user'], $secret)
    }
    New-PSSession @connection
}

# Imports just these cmdlets; answers the names that the account's RBAC roles do not offer [u].
function Import-Exchange($Session, [string[]]$Cmdlets) {
    $module = Import-PSSession -Session $Session -CommandName $Cmdlets -DisableNameChecking -AllowClobber -ErrorAction SilentlyContinue
    $offered = @()
    if ($null -ne $module) { $offered = @($module.ExportedCommands.Keys) }
    foreach ($cmdlet in $Cmdlets) { if ($offered -notcontains $cmdlet) { $cmdlet } }
}
# <<< inner session

# Without the types of the management shell a certificate arrives as RawData only, without services.
# Its script prints a banner to the host and may fail at cosmetics without a console: neither matters here [u].
function Import-ExchangeTypes {
    $ErrorActionPreference = 'SilentlyContinue'
    $shell = [IO.Path]::Combine([string]$env:ExchangeInstallPath, 'bin', 'RemoteExchange.ps1')
    if ([IO.File]::Exists($shell)) { . $shell *> $null }
}

function Get-Text($Value) {
    if ($null -eq $Value -or [string]$Value -eq '') { $null } else { [string]$Value }
}

# What another session answers are copies: a certificate there has a Thumbprint still, or is text that holds it [u].
function Get-Thumbprint($Value) {
    if ($null -ne $Value.Thumbprint) { return ([string]$Value.Thumbprint).ToUpperInvariant() }
    $found = [regex]::Match([string]$Value, '(?i)(?<![0-9A-F])[0-9A-F]{40}(?![0-9A-F])')
    if ($found.Success) { $found.Value.ToUpperInvariant() } else { $null }
}

# Remove-ExchangeCertificate is not run here: whether the account may is told beforehand.
$cmdlets = @(
    'Get-ExchangeCertificate', 'Remove-ExchangeCertificate', 'Get-SendConnector', 'Get-ReceiveConnector', 'Get-AuthConfig',
    'Get-FederationTrust', 'Get-HybridConfiguration', 'Get-TransportService'
)
Import-ExchangeTypes
$session = Open-Exchange $p['exchange']
try {
    $missing = @(Import-Exchange $session $cmdlets)
    $certificates = @()
    $receive = @()
    foreach ($server in @($p['servers'])) {
        if ($missing -notcontains 'Get-ExchangeCertificate') {
            foreach ($item in @(Get-ExchangeCertificate -Server $server)) {
                if ($null -eq $item -or $null -eq $item.RawData) { continue }
                $raw = New-Object Security.Cryptography.X509Certificates.X509Certificate2 (, [byte[]]$item.RawData)
                $services = $null
                if ($null -ne $item.Services) {
                    $services = @()
                    foreach ($name in ([string]$item.Services).Split(',')) { if ($name.Trim() -ne 'None') { $services += $name.Trim() } }
                }
                # As TlsCertificateName is made: Windows' own writing of both names.
                $certificates += @{
                    server = [string]$server; thumbprint = [string]$raw.Thumbprint; services = $services
                    name = '<I>{0}<S>{1}' -f $raw.Issuer, $raw.Subject
                }
            }
        }
        if ($missing -notcontains 'Get-ReceiveConnector') {
            foreach ($item in @(Get-ReceiveConnector -Server $server)) {
                $name = Get-Text $item.TlsCertificateName
                if ($null -ne $name) { $receive += @{ server = [string]$server; identity = [string]$item.Identity; name = $name } }
            }
        }
    }

    $send = @()
    if ($missing -notcontains 'Get-SendConnector') {
        foreach ($item in @(Get-SendConnector)) {
            $name = Get-Text $item.TlsCertificateName
            if ($null -ne $name) { $send += @{ identity = [string]$item.Identity; name = $name } }
        }
    }
    $hybrid = @()
    if ($missing -notcontains 'Get-HybridConfiguration') {
        foreach ($item in @(Get-HybridConfiguration)) {
            $name = Get-Text $item.TlsCertificateName
            if ($null -ne $name) { $hybrid += @{ identity = [string]$item.Identity; name = $name } }
        }
    }

    # Thumbprint null: a certificate is named, and which one cannot be read.
    $auth = @()
    if ($missing -notcontains 'Get-AuthConfig') {
        foreach ($item in @(Get-AuthConfig)) {
            foreach ($role in @('CurrentCertificateThumbprint', 'PreviousCertificateThumbprint', 'NextCertificateThumbprint')) {
                $value = Get-Text $item.$role
                if ($null -ne $value) { $auth += @{ role = $role; thumbprint = Get-Thumbprint $value } }
            }
        }
    }
    $federation = @()
    if ($missing -notcontains 'Get-FederationTrust') {
        foreach ($item in @(Get-FederationTrust)) {
            foreach ($role in @('OrgCertificate', 'OrgPrevCertificate', 'OrgNextCertificate')) {
                if ($null -eq (Get-Text $item.$role)) { continue }
                $federation += @{ identity = [string]$item.Name; role = $role; thumbprint = Get-Thumbprint $item.$role }
            }
        }
    }
    $transport = @()
    if ($missing -notcontains 'Get-TransportService') {
        foreach ($item in @(Get-TransportService)) {
            $value = Get-Text $item.InternalTransportCertificateThumbprint
            if ($null -ne $value) { $transport += @{ server = [string]$item.Name; thumbprint = Get-Thumbprint $value } }
        }
    }
    @{
        certificates = $certificates; send_connectors = $send; receive_connectors = $receive; hybrid = $hybrid
        auth_config = $auth; federation = $federation; transport = $transport; missing_cmdlets = $missing
    }
}
finally { Remove-PSSession -Session $session }
