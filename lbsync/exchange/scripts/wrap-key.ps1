# wrap-key (local tier): a key pair in a machine key container named by the caller, so that a PFX password can travel wrapped.
# import-certificate uses it once and deletes it. Windows PowerShell 4.0. [u]: not verified on a real server.
param($p)

if ([string]$p['container'] -notmatch '^lbsync-[0-9a-f-]{36}$') { throw 'the container is named lbsync-<uuid>' }
$csp = New-Object Security.Cryptography.CspParameters
$csp.ProviderType = 24
$csp.KeyContainerName = [string]$p['container']
$csp.Flags = [Security.Cryptography.CspProviderFlags]'UseMachineKeyStore, UseNonExportableKey'
$rsa = New-Object Security.Cryptography.RSACryptoServiceProvider (3072, $csp)
$rsa.PersistKeyInCsp = $true
$public = $rsa.ExportParameters($false)
@{ modulus = [Convert]::ToBase64String($public.Modulus); exponent = [Convert]::ToBase64String($public.Exponent) }
