# remove-certificate (exchange tier): a certificate with its key out of this server's store, unless something here holds it now.
# Twice is once; there is no way back. Windows PowerShell 4.0. [u] marks what has not been verified on a real server.
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

function Test-Present {
    $store = New-Object Security.Cryptography.X509Certificates.X509Store ('My', [Security.Cryptography.X509Certificates.StoreLocation]::LocalMachine)
    $store.Open([Security.Cryptography.X509Certificates.OpenFlags]::ReadOnly)
    $found = @($store.Certificates | Where-Object { $_.Thumbprint -eq $p['thumbprint'] })
    $store.Close()
    $found.Count -gt 0
}

if (-not (Test-Present)) {
    @{ thumbprint = [string]$p['thumbprint']; outcome = 'already'; held_by = @() }
    return
}
# Exchange itself removes a certificate that a site is bound to [u]: this is looked at right before.
Import-Module WebAdministration
$heldBy = @()
foreach ($binding in @(Get-WebBinding)) {
    if ([string]$binding.certificateHash -ne [string]$p['thumbprint']) { continue }
    $owner = [regex]::Match([string]$binding.ItemXPath, "@name='([^']*)'").Groups[1].Value
    $heldBy += 'the IIS binding {0} of {1}' -f [string]$binding.bindingInformation, $owner
}
if ($heldBy.Count -eq 0) {
    Import-ExchangeTypes
    $session = Open-Exchange $p['exchange']
    try {
        $missing = @(Import-Exchange $session @('Get-ExchangeCertificate', 'Remove-ExchangeCertificate'))
        if ($missing.Count -gt 0) { throw ('the account has no right to run {0}' -f [string]::Join(', ', $missing)) }
        $item = Get-ExchangeCertificate -Thumbprint $p['thumbprint'] -Server $p['server']
        if ($null -eq $item -or $null -eq $item.Services) { $heldBy += 'what Exchange does not tell (it gives no services)' }
        else {
            # No cmdlet takes a service off a certificate: those that another one has taken over come along as released.
            foreach ($name in ([string]$item.Services).Split(',')) {
                $service = $name.Trim()
                if ($service -ne 'None' -and @($p['released']) -notcontains $service) { $heldBy += 'the Exchange service {0}' -f $service }
            }
        }
        if ($heldBy.Count -eq 0) { Remove-ExchangeCertificate -Thumbprint $p['thumbprint'] -Server $p['server'] -Confirm:$false }
    }
    finally { Remove-PSSession -Session $session }
}
$outcome = 'removed'
if ($heldBy.Count -gt 0) { $outcome = 'in_use' }
elseif (Test-Present) { $outcome = 'still_there' }
@{ thumbprint = [string]$p['thumbprint']; outcome = $outcome; held_by = $heldBy }
