# complete-certificate-request (exchange tier): a CA's answer makes a certificate with its key of the request that is pending here.
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

$machine = [Security.Cryptography.X509Certificates.StoreLocation]::LocalMachine
$readOnly = [Security.Cryptography.X509Certificates.OpenFlags]::ReadOnly
$leaf = New-Object Security.Cryptography.X509Certificates.X509Certificate2 (, [byte[]][Convert]::FromBase64String($p['leaf']))

# A certificate without its key is not what was asked for: nobody could serve or export it.
function Test-Present {
    $store = New-Object Security.Cryptography.X509Certificates.X509Store ('My', $machine)
    $store.Open($readOnly)
    $found = @($store.Certificates | Where-Object { $_.Thumbprint -eq $leaf.Thumbprint -and $_.HasPrivateKey })
    $store.Close()
    $found.Count -gt 0
}

# A pending request is a certificate of the machine's REQUEST store; the answer to it is for the same key [u].
function Test-Pending {
    $store = New-Object Security.Cryptography.X509Certificates.X509Store ('REQUEST', $machine)
    $store.Open($readOnly)
    $found = @($store.Certificates | Where-Object { $_.GetPublicKeyString() -eq $leaf.GetPublicKeyString() })
    $store.Close()
    $found.Count -gt 0
}

# Intermediates go where Windows looks for them. Never into Root: whom a server trusts is not for a CA's answer to say.
function Add-Intermediates($Certificates) {
    $store = New-Object Security.Cryptography.X509Certificates.X509Store ('CA', $machine)
    $store.Open([Security.Cryptography.X509Certificates.OpenFlags]::ReadWrite)
    foreach ($text in @($Certificates)) {
        $certificate = New-Object Security.Cryptography.X509Certificates.X509Certificate2 (, [byte[]][Convert]::FromBase64String($text))
        # One that is there stays as it is: adding it again would take its friendly name away.
        $known = @($store.Certificates | Where-Object { $_.Thumbprint -eq $certificate.Thumbprint })
        if ($known.Count -eq 0) { $store.Add($certificate) }
    }
    $store.Close()
}

if (Test-Present) {
    Add-Intermediates $p['intermediates']
    @{ thumbprint = [string]$leaf.Thumbprint; outcome = 'already' }
    return
}
# Asked first, since Exchange takes a certificate without its key, too, without an error [u].
if (-not (Test-Pending)) {
    @{ thumbprint = [string]$leaf.Thumbprint; outcome = 'no_request' }
    return
}
$session = Open-Exchange $p['exchange']
try {
    $missing = @(Import-Exchange $session @('Import-ExchangeCertificate'))
    if ($missing.Count -gt 0) { throw 'the account has no right to run Import-ExchangeCertificate' }
    Add-Intermediates $p['intermediates']
    # Exportable, or the certificate could never leave this server.
    [void](Import-ExchangeCertificate -FileData $leaf.RawData -PrivateKeyExportable $true -Server $p['server'] -Confirm:$false)
}
finally { Remove-PSSession -Session $session }
$outcome = 'no_key'
if (Test-Present) { $outcome = 'completed' }
@{ thumbprint = [string]$leaf.Thumbprint; outcome = $outcome }
