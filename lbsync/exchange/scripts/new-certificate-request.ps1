# new-certificate-request (exchange tier): a PKCS#10 request with an exportable key, or the pending one of the same friendly name.
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

# A pending request is a certificate of the machine's REQUEST store; its friendly name says that it is ours [u].
function Find-Request([string]$FriendlyName) {
    $machine = [Security.Cryptography.X509Certificates.StoreLocation]::LocalMachine
    $readOnly = [Security.Cryptography.X509Certificates.OpenFlags]::ReadOnly
    # One whose certificate is there was answered, should it have stayed [u]: a renewal gets a key of its own.
    $store = New-Object Security.Cryptography.X509Certificates.X509Store ('My', $machine)
    $store.Open($readOnly)
    $answered = @()
    foreach ($certificate in @($store.Certificates)) { $answered += $certificate.GetPublicKeyString() }
    $store.Close()
    $store = New-Object Security.Cryptography.X509Certificates.X509Store ('REQUEST', $machine)
    $store.Open($readOnly)
    foreach ($certificate in @($store.Certificates)) {
        if ($certificate.FriendlyName -ne $FriendlyName) { continue }
        if ($answered -notcontains $certificate.GetPublicKeyString()) { [string]$certificate.Thumbprint }
    }
    $store.Close()
}

$session = Open-Exchange $p['exchange']
try {
    $missing = @(Import-Exchange $session @('New-ExchangeCertificate', 'Export-ExchangeCertificate'))
    if ($missing.Count -gt 0) { throw ('the account has no right to run {0}' -f [string]::Join(', ', $missing)) }
    $before = @(Find-Request $p['friendly_name'])
    if ($before.Count -gt 0) {
        # Exporting a pending request gives its PKCS#10 again.
        $again = Export-ExchangeCertificate -Thumbprint $before[0] -Server $p['server']
        $text = $again.FileData
        if ($null -eq $text) { $text = $again }
        @{ request = [string]$text; thumbprint = $before[0]; already = $true }
        return
    }
    $arguments = @{
        GenerateRequest      = $true
        Server               = $p['server']
        SubjectName          = $p['subject']
        DomainName           = [string[]]@($p['domains'])
        KeySize              = [int]$p['key_size']
        FriendlyName         = $p['friendly_name']
        PrivateKeyExportable = $true
        Confirm              = $false
    }
    $request = New-ExchangeCertificate @arguments
    $made = @(Find-Request $p['friendly_name'])
    $thumbprint = $null
    if ($made.Count -gt 0) { $thumbprint = $made[0] }
    @{ request = [string]$request; thumbprint = $thumbprint; already = $false }
}
finally { Remove-PSSession -Session $session }
