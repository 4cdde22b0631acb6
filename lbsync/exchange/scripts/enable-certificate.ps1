# enable-certificate (exchange tier): binds a stored certificate to IIS, and to the other services that are named; Require SSL
# stays as it is. Twice is once. Windows PowerShell 4.0. [u] marks what has not been verified on a real server.
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

$windowsServices = @{
    SMTP = @()
    IMAP = @('MSExchangeIMAP4', 'MSExchangeIMAP4BE')
    POP  = @('MSExchangePOP3', 'MSExchangePOP3BE')
}
$also = @()
foreach ($one in @($p['also'])) {
    if ($null -eq $one) { continue }
    if (-not $windowsServices.ContainsKey([string]$one['service'])) { throw "refused: $($one['service']) is given no certificate here" }
    $also += , $one
}

$session = Open-Exchange $p['exchange']
try {
    $missing = @(Import-Exchange $session @('Enable-ExchangeCertificate'))
    if ($missing.Count -gt 0) { throw 'the account has no right to run Enable-ExchangeCertificate' }
    Enable-ExchangeCertificate -Thumbprint $p['thumbprint'] -Server $p['server'] -Services 'IIS' -DoNotRequireSsl -Force
    foreach ($one in $also) {
        # Without -Force SMTP asks whether to replace the certificate that servers use among themselves, and the session hangs.
        # With it the last one enabled is that certificate [u]. A wildcard for IMAP or POP is warned of and not enabled.
        Enable-ExchangeCertificate -Thumbprint $one['thumbprint'] -Server $p['server'] -Services $one['service'] -DoNotRequireSsl -Force
    }
}
finally { Remove-PSSession -Session $session }

# IMAP and POP take their certificate when they start, by what AD says then [u]. One that does not run is left so.
$restarted = @()
foreach ($service in @('IMAP', 'POP')) {
    if (@($also | Where-Object { [string]$_['service'] -eq $service }).Count -eq 0) { continue }
    foreach ($name in $windowsServices[$service]) {
        $found = Get-Service -Name $name -ErrorAction SilentlyContinue
        if ($null -eq $found -or [string]$found.Status -ne 'Running') { continue }
        Restart-Service -Name $name
        $restarted += $name
    }
}

Import-Module WebAdministration
$bindings = @()
foreach ($binding in @(Get-WebBinding)) {
    $owner = [regex]::Match([string]$binding.ItemXPath, "@name='([^']*)'").Groups[1].Value
    $hash = ([string]$binding.certificateHash).ToUpperInvariant()
    if ($hash -eq '') { $hash = $null }
    $bindings += @{ site = $owner; protocol = [string]$binding.protocol; information = [string]$binding.bindingInformation; thumbprint = $hash }
}
@{ bindings = $bindings; restarted = $restarted }
