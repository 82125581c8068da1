<?php
/* Says which PHP this is, and what it lacks of the ordered extensions. */

sitecrew_say([
    'version' => PHP_VERSION,
    'lacking' => array_values(array_filter($sitecrew['extensions'], fn ($name) => !extension_loaded($name))),
]);
