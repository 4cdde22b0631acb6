# export-certificate-store (local tier): the fallback without an Exchange session: the machine's certificate store, in memory.
# No file is written and no secret is a cmdlet's plain argument. Windows PowerShell 4.0. [u]: not verified on a real server.
param($p)

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

$store = New-Object Security.Cryptography.X509Certificates.X509Store ('My', [Security.Cryptography.X509Certificates.StoreLocation]::LocalMachine)
$store.Open([Security.Cryptography.X509Certificates.OpenFlags]::ReadOnly)
try {
    $found = @($store.Certificates | Where-Object { $_.Thumbprint -eq $p['thumbprint'] })
    if ($found.Count -eq 0) { throw "The certificate with thumbprint $($p['thumbprint']) was not found." }
    if (-not $found[0].HasPrivateKey) { throw "The certificate with thumbprint $($p['thumbprint']) has no private key here." }
    # A key that is not exportable fails here with "Key not valid for use in specified state" (NTE_BAD_KEY_STATE).
    $pfx = $found[0].Export([Security.Cryptography.X509Certificates.X509ContentType]::Pfx, $password)
    @{ pfx = [Convert]::ToBase64String($pfx); key = $key }
}
finally { $store.Close() }
