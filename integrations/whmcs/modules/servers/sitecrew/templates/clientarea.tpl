{* How far the site is. Causes are for staff. *}
<div class="panel panel-default card mb-3">
  <div class="panel-body card-body">
    {if $state == 'installed'}
      <p>Your site is ready: <a href="{$url|escape}" target="_blank" rel="noopener">{$url|escape}</a></p>
    {elseif $state == 'failed'}
      <p>Your site is not ready yet. We are looking into it.</p>
    {elseif $state == ''}
      <p>Your hosting account is being prepared.</p>
    {else}
      <p>Your site is being installed. You will receive an email as soon as it answers.</p>
    {/if}
    {if $panel}<p><a href="{$panel|escape}" target="_blank" rel="noopener">Control panel</a></p>{/if}
    {if $statusUrl}<p><a href="{$statusUrl|escape}" target="_blank" rel="noopener">Follow the progress</a></p>{/if}
  </div>
</div>
