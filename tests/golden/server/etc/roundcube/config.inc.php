<?php // overlays/webmail/rootfs/etc/roundcube/config.inc.php.j2
$config = [];
$config['product_name'] = 'Postern';
$config['useragent'] = 'Webmail';
$config['support_url'] = '';
$config['enable_installer'] = false;
$config['plugins'] = ['archive', 'hide_blockquote', 'managesieve', 'postern'];
$config['skin'] = 'elastic';

// Sessions, address books and what users prefer. The key encrypts the password of whoever is logged in; the box made it.
$config['db_dsnw'] = 'sqlite:////var/lib/roundcube/db/roundcube.db?mode=0600';
$config['temp_dir'] = '/var/lib/roundcube/temp/';
$config['cipher_method'] = 'AES-256-CBC';
$config['des_key'] = (string) @file_get_contents('/run/credentials/php8.4-fpm.service/webmail-key');
$config['session_lifetime'] = 30;
$config['session_samesite'] = 'Strict';
$config['use_https'] = true;

$config['log_driver'] = 'syslog';
$config['syslog_id'] = 'webmail';
$config['syslog_facility'] = LOG_MAIL;
$config['log_session_id'] = 0;
$config['log_logins'] = false; // our plugin says it, without the session's number
$config['postern_domains'] = [
    'example.com',
    'xn--bcher-kva.example',
    'bücher.example',
];

// The box's own mailboxes and its own mail server, as the user who is logged in. Its certificate has no name for the loopback.
$config['imap_host'] = '127.0.0.1:143';
$config['smtp_host'] = 'tls://127.0.0.1:587';
$config['smtp_user'] = '%u';
$config['smtp_pass'] = '%p';
$config['smtp_conn_options'] = ['ssl' => ['verify_peer' => false, 'verify_peer_name' => false]];
$config['login_lc'] = 2;
$config['login_rate_limit'] = 5;
$config['identities_level'] = 0; // the mail server decides under which addresses a user may write
$config['drafts_mbox'] = 'Drafts';
$config['junk_mbox'] = 'Bulk';
$config['sent_mbox'] = 'Sent';
$config['trash_mbox'] = 'Trash';
$config['max_message_size'] = '50M';
$config['timezone'] = 'Europe/Zurich';

// A user's own rules, and what is answered while she is away: kept by Dovecot, which says what a rule may do.
$config['managesieve_host'] = '127.0.0.1:4190';
$config['managesieve_mbox_encoding'] = 'UTF-8'; // as Sieve has it (RFC 5228)
$config['managesieve_vacation'] = 1; // a page of its own beside that of the rules
$config['managesieve_vacation_addresses_init'] = true;
$config['managesieve_forward'] = 1;

// What strangers send shows itself and does nothing: no picture from elsewhere before the reader asks for it, and of what is
// attached only what a browser draws without running it.
$config['show_images'] = 0;
$config['mdn_requests'] = 0;
$config['enable_spellcheck'] = false;
$config['client_mimetypes'] = ['text/plain', 'image/jpeg', 'image/gif', 'image/png', 'image/webp', 'application/pdf'];
