<?php
// Verification of hookturn's signatures in PHP 8, without extensions.

/**
 * Reports whether a request was signed with the secret.
 * $headers: names in lower case; $body: the bytes that were received, file_get_contents('php://input').
 */
function verify(string $scheme, array $headers, string $body, string $secret, ?int $now = null): bool
{
    if ($scheme === 'hub-sha1' || $scheme === 'hub-sha256') {
        $name = $scheme === 'hub-sha1' ? 'x-hub-signature' : 'x-hub-signature-256';
        $algorithm = substr($scheme, strlen('hub-'));
        return hash_equals($algorithm . '=' . hash_hmac($algorithm, $body, $secret), $headers[$name] ?? '');
    }
    $id = $headers['webhook-id'] ?? '';
    $stamp = $headers['webhook-timestamp'] ?? '';
    if ($id === '' || !ctype_digit($stamp) || abs(($now ?? time()) - (int) $stamp) > 300) {
        return false;
    }
    $key = str_starts_with($secret, 'whsec_') ? base64_decode(substr($secret, 6), true) : $secret;
    if ($key === false) {
        return false;
    }
    $want = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$stamp.$body", $key, true));
    $valid = false;
    foreach (explode(' ', $headers['webhook-signature'] ?? '') as $sent) {
        $valid = hash_equals($want, $sent) || $valid;
    }
    return $valid;
}
