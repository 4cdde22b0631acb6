# import-certificate (exchange tier): a PFX, exportable, into this server's store; its password comes wrapped for a key pair that
# wrap-key made here, and that key pair is deleted whatever happens. Windows PowerShell 4.0. [u]: not verified on a real server.
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

$store = New-Object Security.Cryptography.X509Certificates.X509Store ('My', [Security.Cryptography.X509Certificates.StoreLocation]::LocalMachine)
$store.Open([Security.Cryptography.X509Certificates.OpenFlags]::ReadOnly)
$present = @($store.Certificates | Where-Object { $_.Thumbprint -eq $p['thumbprint'] -and $_.HasPrivateKey })
$store.Close()

$csp = New-Object Security.Cryptography.CspParameters
$csp.ProviderType = 24
$csp.KeyContainerName = [string]$p['container']
$csp.Flags = [Security.Cryptography.CspProviderFlags]'UseMachineKeyStore, UseExistingKey'
$rsa = New-Object Security.Cryptography.RSACryptoServiceProvider $csp
try {
    if ($present.Count -gt 0) {
        @{ thumbprint = [string]$present[0].Thumbprint; already = $true }
        return
    }
    $plain = $rsa.Decrypt([Convert]::FromBase64String($p['key']), $true)
    $characters = [Text.Encoding]::UTF8.GetChars($plain)
    [Array]::Clear($plain, 0, $plain.Length)
    $password = New-Object Security.SecureString
    foreach ($character in $characters) { $password.AppendChar($character) }
    [Array]::Clear($characters, 0, $characters.Length)
    $password.MakeReadOnly()

    $session = Open-Exchange $p['exchange']
    try {
        $missing = @(Import-Exchange $session @('Import-ExchangeCertificate'))
        if ($missing.Count -gt 0) { throw 'the account has no right to run Import-ExchangeCertificate' }
        # Exportable, or the next export from this server would fail.
        $result = Import-ExchangeCertificate -FileData ([Convert]::FromBase64String($p['pfx'])) -Password $password -PrivateKeyExportable $true -Server $p['server'] -Confirm:$false
        $raw = New-Object Security.Cryptography.X509Certificates.X509Certificate2 (, [byte[]]$result.RawData)
        @{ thumbprint = [string]$raw.Thumbprint; already = $false }
    }
    finally { Remove-PSSession -Session $session }
}
finally {
    $rsa.PersistKeyInCsp = $false
    $rsa.Clear()
}
