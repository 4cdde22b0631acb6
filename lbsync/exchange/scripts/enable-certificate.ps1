# enable-certificate (exchange tier): binds a stored certificate to IIS and nothing else; Require SSL stays as it is.
# Twice is once. Windows PowerShell 4.0. [u] marks what has not been verified on a real server.
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

$session = Open-Exchange $p['exchange']
try {
    $missing = @(Import-Exchange $session @('Enable-ExchangeCertificate'))
    if ($missing.Count -gt 0) { throw 'the account has no right to run Enable-ExchangeCertificate' }
    # Never SMTP: it asks whether to replace the default certificate and the session hangs.
    Enable-ExchangeCertificate -Thumbprint $p['thumbprint'] -Server $p['server'] -Services 'IIS' -DoNotRequireSsl -Force
}
finally { Remove-PSSession -Session $session }

Import-Module WebAdministration
$bindings = @()
foreach ($binding in @(Get-WebBinding)) {
    $owner = [regex]::Match([string]$binding.ItemXPath, "@name='([^']*)'").Groups[1].Value
    $hash = ([string]$binding.certificateHash).ToUpperInvariant()
    if ($hash -eq '') { $hash = $null }
    $bindings += @{ site = $owner; protocol = [string]$binding.protocol; information = [string]$binding.bindingInformation; thumbprint = $hash }
}
@{ bindings = $bindings }
