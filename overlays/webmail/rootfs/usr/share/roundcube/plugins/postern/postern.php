<?php
// overlays/webmail/rootfs/usr/share/roundcube/plugins/postern/postern.php
// What the box wants of webmail beside mail: who logs in is told to journal and mailboxes, with the address that the web
// server saw. And what the skin leaves to be wished for by people who see little, or use a keyboard or a screen reader.
class postern extends rcube_plugin
{
    public function init()
    {
        $this->include_stylesheet('postern.css');
        $this->include_script('postern.js');
        $this->add_hook('storage_connect', [$this, 'introduce']);
        $this->add_hook('login_after', [$this, 'let_in']);
        $this->add_hook('login_failed', [$this, 'turned_away']);
    }

    // Dovecot slows down whoever guesses. From the loopback it believes who that is; without a word it would not be known.
    public function introduce($args)
    {
        $args['preauth_ident'] = ['x-originating-ip' => $_SERVER['REMOTE_ADDR']];
        return $args;
    }

    public function let_in($args)
    {
        $this->tell($_SESSION['username'], 'right');
        return $args;
    }

    public function turned_away($args)
    {
        $why = [
            rcmail::ERROR_STORAGE => 'cannot be asked for',
            rcmail::ERROR_RATE_LIMIT => 'too many wrong passwords',
            rcmail::ERROR_COOKIES_DISABLED => 'without cookies',
            rcmail::ERROR_INVALID_REQUEST => 'by no form of ours',
        ];
        $this->tell($args['user'], $why[$args['code']] ?? 'wrong');
        return $args;
    }

    // A line as the quarantine's pages have it; what somebody typed that is no address here may be a password.
    private function tell($user, $said)
    {
        $domain = mb_strtolower(substr((string) strrchr((string) $user, '@'), 1));
        $ours = in_array($domain, rcmail::get_instance()->config->get('postern_domains'), true);
        $shown = $ours && preg_match('/^[^<>\s\p{C}]{1,320}$/u', $user) ? mb_strtolower($user) : 'no address';
        rcube::write_log('userlogins', "login user=<$shown> client=<{$_SERVER['REMOTE_ADDR']}> $said");
    }
}
