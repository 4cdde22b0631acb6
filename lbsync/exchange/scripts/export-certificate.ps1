# export-certificate (exchange tier): a certificate with its key, in memory, its random password wrapped for the caller's key.
# No file is written and no secret is a cmdlet's plain argument. Windows PowerShell 4.0. [u]: not verified on a real server.
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

$rsa = New-Object Security.Cryptography.RSACryptoServiceProvider
$public = New-Object Security.Cryptography.RSAParameters
$public.Modulus = [Convert]::FromBase64String($p['modulus'])
$public.Exponent = [Convert]::FromBase64String($p['exponent'])
$rsa.ImportParameters($public)
$random = New-Object byte[] 32
(New-Object Security.Cryptography.RNGCryptoServiceProvider).GetBytes($random)
$characters = New-Object char[] 44
[void][Convert]::ToBase64CharArray($random, 0, 32, $characters, 0)
[Array]::Clear($random, 0, 32)
$password = New-Object Security.SecureString
foreach ($character in $characters) { $password.AppendChar($character) }
$password.MakeReadOnly()
$plain = [Text.Encoding]::UTF8.GetBytes($characters)
[Array]::Clear($characters, 0, 44)
$key = [Convert]::ToBase64String($rsa.Encrypt($plain, $true))
[Array]::Clear($plain, 0, $plain.Length)

$session = Open-Exchange $p['exchange']
try {
    $missing = @(Import-Exchange $session @('Export-ExchangeCertificate'))
    if ($missing.Count -gt 0) { throw 'the account has no right to run Export-ExchangeCertificate' }
    # Always -Server: without it the cmdlet may ask another one. -FileName is gone since the 2022 H1 updates.
    $export = Export-ExchangeCertificate -Thumbprint $p['thumbprint'] -Server $p['server'] -BinaryEncoded -Password $password
    @{ pfx = [Convert]::ToBase64String([byte[]]$export.FileData); key = $key }
}
finally { Remove-PSSession -Session $session }
