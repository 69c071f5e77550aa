<?php
// overlays/webmail/rootfs/usr/share/roundcube/plugins/postern/postern.php
// What the skin leaves to be wished for by people who see little, or use a keyboard or a screen reader.
class postern extends rcube_plugin
{
    public function init()
    {
        $this->include_stylesheet('postern.css');
        $this->include_script('postern.js');
    }
}
