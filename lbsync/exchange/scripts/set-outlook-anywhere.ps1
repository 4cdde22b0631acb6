# set-outlook-anywhere (exchange tier): sets just the fields given, for the servers named, and reads back what AD holds.
# The service host copies AD to IIS within 15 minutes; never write the sslFlags of Rpc. Windows PowerShell 4.0. [u]: not verified.
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

function Get-Text($Value) {
    if ($null -eq $Value -or [string]$Value -eq '') { $null } else { [string]$Value }
}

$parameters = @{
    ssl_offloading               = 'SSLOffloading'
    internal_hostname            = 'InternalHostname'
    external_hostname            = 'ExternalHostname'
    internal_clients_require_ssl = 'InternalClientsRequireSsl'
    external_clients_require_ssl = 'ExternalClientsRequireSsl'
    internal_authentication      = 'InternalClientAuthenticationMethod'
    external_authentication      = 'ExternalClientAuthenticationMethod'
    iis_authentication           = 'IISAuthenticationMethods'
}
$session = Open-Exchange $p['exchange']
try {
    $missing = @(Import-Exchange $session @('Get-OutlookAnywhere', 'Set-OutlookAnywhere'))
    if ($missing.Count -gt 0) { throw ('the account has no right to run {0}' -f [string]::Join(', ', $missing)) }
    $answer = @()
    foreach ($setting in @($p['settings'])) {
        $server = [string]$setting['server']
        $found = @(Get-OutlookAnywhere -Server $server -ADPropertiesOnly | Where-Object { [string]$_.Name -like '*(Default Web Site)*' })
        if ($found.Count -ne 1) { throw "$server has $($found.Count) Outlook Anywhere directories in Default Web Site, not one" }
        # The exact name: 'EX01\Rpc*' would match any site.
        $arguments = @{ Identity = '{0}\{1}' -f $server, [string]$found[0].Name; Confirm = $false }
        foreach ($field in $parameters.Keys) {
            if (-not $setting.ContainsKey($field)) { continue }
            $value = $setting[$field]
            if ($field -eq 'iis_authentication') { $value = [string[]]@($value) }
            # A host name of null is an emptied one [u].
            $arguments[$parameters[$field]] = $value
        }
        Set-OutlookAnywhere @arguments

        $item = @(Get-OutlookAnywhere -Server $server -ADPropertiesOnly | Where-Object { [string]$_.Name -like '*(Default Web Site)*' })[0]
        $methods = @()
        foreach ($method in @($item.IISAuthenticationMethods)) { if ($null -ne $method) { $methods += [string]$method } }
        $answer += @{
            server                       = $server
            ssl_offloading               = [bool]$item.SSLOffloading
            internal_hostname            = Get-Text $item.InternalHostname
            external_hostname            = Get-Text $item.ExternalHostname
            internal_clients_require_ssl = [bool]$item.InternalClientsRequireSsl
            external_clients_require_ssl = [bool]$item.ExternalClientsRequireSsl
            internal_authentication      = Get-Text $item.InternalClientAuthenticationMethod
            external_authentication      = Get-Text $item.ExternalClientAuthenticationMethod
            iis_authentication           = $methods
        }
    }
    @{ outlook_anywhere = $answer }
}
finally { Remove-PSSession -Session $session }
