# The constant text on the command line: reads base64 JSON {script, params} from stdin, runs the script, writes base64 JSON.
# Knows nothing of Exchange. Windows PowerShell 4.0. What is logged of a command line (event 4688) is this text and no more.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$WarningPreference = 'SilentlyContinue'

# JSON by hand: JavaScriptSerializer fails on the wrappers that cmdlets put around their results (circular reference).
function Write-Value([Text.StringBuilder]$Out, $Value) {
    if ($null -ne $Value -and $null -ne $Value.PSObject) { $Value = $Value.PSObject.BaseObject }
    if ($null -eq $Value) { [void]$Out.Append('null') }
    elseif ($Value -is [bool]) { [void]$Out.Append(([string]$Value).ToLowerInvariant()) }
    elseif ($Value -is [int] -or $Value -is [long]) { [void]$Out.Append($Value.ToString([Globalization.CultureInfo]::InvariantCulture)) }
    elseif ($Value -is [Collections.IDictionary]) {
        $comma = '{'
        foreach ($key in @($Value.Keys)) {
            [void]$Out.Append($comma)
            Write-Value $Out ([string]$key)
            [void]$Out.Append(':')
            Write-Value $Out $Value[$key]
            $comma = ','
        }
        if ($comma -eq '{') { [void]$Out.Append('{') }
        [void]$Out.Append('}')
    }
    elseif ($Value -is [Collections.IEnumerable] -and $Value -isnot [string]) {
        $comma = '['
        foreach ($item in $Value) {
            [void]$Out.Append($comma)
            Write-Value $Out $item
            $comma = ','
        }
        if ($comma -eq '[') { [void]$Out.Append('[') }
        [void]$Out.Append(']')
    }
    else { [void]$Out.Append($script:serializer.Serialize([string]$Value)) }
}

$answer = @{ ok = $false; error = @{ message = 'nothing was read from stdin'; fqid = 'LbsyncNoInput'; category = ''; target = '' } }
try {
    Add-Type -AssemblyName System.Web.Extensions
    $script:serializer = New-Object System.Web.Script.Serialization.JavaScriptSerializer
    $script:serializer.MaxJsonLength = [int]::MaxValue
    $bytes = [Convert]::FromBase64String(([string]::Join('', @($input))).Trim())
    if ($bytes.Length -gt 0) {
        $order = $script:serializer.DeserializeObject([Text.Encoding]::UTF8.GetString($bytes))
        [Array]::Clear($bytes, 0, $bytes.Length)
        $results = @(& ([ScriptBlock]::Create([string]$order['script'])) $order['params'])
        $order = $null
        if ($results.Count -ne 1 -or $results[0] -isnot [Collections.IDictionary]) {
            throw ('the script answered {0} objects instead of one' -f $results.Count)
        }
        $answer = @{ ok = $true; result = $results[0] }
    }
}
catch {
    $answer = @{ ok = $false; error = @{
            message  = [string]$_.Exception.Message
            fqid     = [string]$_.FullyQualifiedErrorId
            category = [string]$_.CategoryInfo.Category
            target   = [string]$_.CategoryInfo.TargetName
        }
    }
}
$text = New-Object System.Text.StringBuilder
Write-Value $text $answer
[Console]::Out.Write([Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes($text.ToString())))
